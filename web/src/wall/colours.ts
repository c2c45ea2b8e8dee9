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

/** Degrees between the hues of neighbouring classes beyond the first: no two come near soon. */
const GOLDEN_ANGLE = 137.508;

/** Colour of a class by its index: eight to be told apart by anyone, then hues far from another. */
export function classColour(index: number): readonly [number, number, number] {
  return CLASSES[index] ?? hueColour(Math.abs(index) * GOLDEN_ANGLE, index % 2 === 0 ? 0.7 : 0.5);
}

/** A saturated colour of a hue in degrees and a lightness from 0 to 1. */
function hueColour(hue: number, lightness: number): readonly [number, number, number] {
  const reach = 0.65 * Math.min(lightness, 1 - lightness);
  const channel = (offset: number) => {
    const place = (offset + hue / 30) % 12;
    const height = Math.max(-1, Math.min(place - 3, 9 - place, 1));
    return Math.round(255 * (lightness - reach * height));
  };
  return [channel(0), channel(8), channel(4)];
}

/** The same as a CSS colour. */
export function classCss(index: number, alpha = 1): string {
  const [red, green, blue] = classColour(index);
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

/** Black or white, whichever is legible on the colour of a class. */
export function inkOn(index: number): string {
  const [red, green, blue] = classColour(index);
  return red * 0.3 + green * 0.59 + blue * 0.11 > 110 ? "#06080b" : "#ffffff";
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
