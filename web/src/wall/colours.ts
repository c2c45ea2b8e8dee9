/** Colours that people with any colour vision tell apart (Okabe and Ito), for classes and series. */
const CLASSES: readonly [number, number, number][] = [
  [86, 180, 233],
  [230, 159, 0],
  [0, 158, 115],
  [240, 228, 66],
  [0, 114, 178],
  [213, 94, 0],
  [204, 121, 167],
  [170, 170, 170],
];

/** Colour of a class by its index; repeats after eight. */
export function classColour(index: number): readonly [number, number, number] {
  const n = CLASSES.length;
  return CLASSES[((index % n) + n) % n] ?? [170, 170, 170];
}

/** The same as a CSS colour. */
export function classCss(index: number, alpha = 1): string {
  const [red, green, blue] = classColour(index);
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/** What the painters need of the theme. */
export interface Palette {
  background: string;
  tile: string;
  strip: string;
  line: string;
  text: string;
  muted: string;
  faint: string;
  right: string;
  wrong: string;
  accent: string;
  bad: string;
  font: string;
  mono: string;
}

const NAMES: Record<keyof Palette, string> = {
  background: "--bg",
  tile: "--well",
  strip: "--panel",
  line: "--line",
  text: "--text",
  muted: "--muted",
  faint: "--faint",
  right: "--right",
  wrong: "--wrong",
  accent: "--accent",
  bad: "--bad",
  font: "--font",
  mono: "--mono",
};

/** Read the palette from the custom properties of the theme in force. */
export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  const entries = Object.entries(NAMES).map(([key, name]) => [key, read(name)]);
  return Object.fromEntries(entries) as Palette;
}
