/** A certificate that has long expired, on 2 January 2020; its key is that of `certificate.ts`. */

export const EXPIRED_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBGzCBwgIBATAKBggqhkjOPQQDAjAaMRgwFgYDVQQDDA9leHBpcmVkLmV4YW1w
bGUwHhcNMjAwMTAxMDAwMDAwWhcNMjAwMTAyMDAwMDAwWjAaMRgwFgYDVQQDDA9l
eHBpcmVkLmV4YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARjHsyLJq4d
qjzapskobQIcGS2PRkqo62osg6PSNE4gPkGGqyXS8JI6S0+xCrcRwlI7TPUFYRgp
naoQaBgUJAcgMAoGCCqGSM49BAMCA0gAMEUCIQD/evGOW2IeP6i1as+H3sKTfQRL
6Td/3CjYMyIje/R+UgIgTqvmFT/CV4Hbdf5CKpntXJj9dY0ybV7pnHKbuExN6Co=
-----END CERTIFICATE-----
`;
