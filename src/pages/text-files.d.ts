/** What `import … with { type: "text" }` gives for the files of this folder. */

declare module "*/page.css" {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: the runtime gives a text file as the default export
  export default text;
}

declare module "*/page-script.js" {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: the runtime gives a text file as the default export
  export default text;
}
