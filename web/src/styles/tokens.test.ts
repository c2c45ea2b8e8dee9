import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

/** WCAG 2, level AA, for text of any size. */
const LEAST = 4.5;

const css = readFileSync(new URL("./tokens.css", import.meta.url), "utf8");

/** The colours of a block of custom properties, by name. */
function coloursIn(block: string): Record<string, string> {
  const found = block.matchAll(/--([a-z0-9-]+):\s*(#[0-9a-f]{6});/g);
  return Object.fromEntries([...found].map(([, name, colour]) => [name, colour]));
}

const [darkBlock = "", lightBlock = ""] = [...css.matchAll(/:root[^{]*\{([^}]*)\}/g)].map(
  ([, block]) => block,
);
const dark = coloursIn(darkBlock);
const THEMES = { dark, light: { ...dark, ...coloursIn(lightBlock) } };

const GROUNDS = ["bg", "panel", "raised", "hover", "well"];
const TONES = ["live", "wait", "warn", "start", "eval", "done", "bad", "quiet"];

/** Text and what it stands on, as the other style sheets pair them. */
const PAIRS: [text: string, ground: string][] = [
  ...["text", "muted", "faint"].flatMap((text) => GROUNDS.map(pairedWith(text))),
  // Chips and banners, with their words in text and muted; lists and tables on a panel.
  ...TONES.flatMap((tone) => [tone, "text", "muted"].map((text) => pair(text, `${tone}-ground`))),
  ...TONES.map((tone) => pair(tone, "panel")),
  // Buttons in a tone.
  ...["live", "bad", "accent"].flatMap((tone) => [pair(tone, "raised"), pair(tone, "hover")]),
  pair("accent-ink", "accent"),
  // Pressed buttons, links, the loss, tiles, flags on charts.
  pair("accent", "done-ground"),
  pair("accent", "bg"),
  pair("accent", "panel"),
  pair("loss", "panel"),
  pair("right", "panel"),
  pair("wrong", "panel"),
  pair("panel", "marker"),
];

function pair(text: string, ground: string): [string, string] {
  return [text, ground];
}

function pairedWith(text: string): (ground: string) => [string, string] {
  return (ground) => [text, ground];
}

/** Relative luminance of a colour, 0 to 1. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [dim = 0, bright = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (bright + 0.05) / (dim + 0.05);
}

describe("the colours", () => {
  it("measures contrast as WCAG does", () => {
    expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
    expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
  });

  it.each(Object.entries(THEMES))("keep text legible in the %s theme", (_name, colours) => {
    const tooFaint = PAIRS.flatMap(([text, ground]) => {
      const [one, other] = [colours[text], colours[ground]];
      if (one === undefined || other === undefined) return [`${text} or ${ground} is no colour`];
      const found = contrast(one, other);
      return found < LEAST ? [`${text} on ${ground}: ${found.toFixed(2)}`] : [];
    });
    expect(tooFaint).toEqual([]);
  });
});
