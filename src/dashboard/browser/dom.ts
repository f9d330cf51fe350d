/** Makes and changes elements. Text is always text: nothing here reads markup. */

/** What an element can be given: listeners by `onclick` and so on, everything else as attributes. */
export type Properties = Readonly<
  Record<string, string | number | boolean | null | ((event: Event) => void)>
>;
/** What an element can hold; `null`: nothing. */
export type Child = Node | string | null;

const SVG = "http://www.w3.org/2000/svg";

/** An element of HTML. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Properties = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  fill(element, properties, children);
  return element;
}

/** An element of SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  properties: Properties = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, name);
  fill(element, properties, children);
  return element;
}

function fill(element: Element, properties: Properties, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else setAttribute(element, name, value);
  }
  for (const child of children) if (child !== null) element.append(child);
}

/** @param value `null` and `false`: the attribute is taken away; `true`: it stands alone */
export function setAttribute(
  element: Element,
  name: string,
  value: string | number | boolean | null,
): void {
  if (value === null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Touches the page only when the text is another one. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows these children and no others; those that stay are not moved. */
export function setChildren(element: Element, children: readonly Node[]): void {
  const wanted = new Set(children);
  for (const old of [...element.childNodes]) if (!wanted.has(old as ChildNode)) old.remove();
  let next = element.firstChild;
  for (const child of children) {
    if (child === next) next = next.nextSibling;
    else element.insertBefore(child, next);
  }
}
