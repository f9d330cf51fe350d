/** What programs get that import Paastis and do not run on Bun. */

throw new Error("Paastis can be a part of programs that run on Bun only: start this one by `bun`");
