/** Numbers as people read them. NaN and infinity show as such; absence is a dash. */

const DASH = "–";

/** A measured value: about four significant digits, exponent form only far from 1. */
export function formatValue(value: number | undefined): string {
  if (value === undefined) return DASH;
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e6 || size < 1e-4) return minus(value.toExponential(2).replace("e+", "e"));
  if (size >= 1000) return minus(value.toFixed(0));
  if (size >= 100) return minus(value.toFixed(1));
  if (size >= 10) return minus(value.toFixed(2));
  return minus(value.toFixed(4));
}

/** A value that people set, such as a learning rate: as short as it is exact. */
export function formatSetting(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return formatValue(value);
  const short = String(Number(value.toPrecision(4)));
  return minus(short.replace("e+", "e"));
}

/** A whole number with thin groups: 1 234 567. */
export function formatCount(value: number | undefined): string {
  if (value === undefined) return DASH;
  if (!Number.isFinite(value)) return formatValue(value);
  return minus(String(Math.round(value))).replace(/\B(?=(\d{3})+(?!\d))/g, "\u2009");
}

/** A rate per second: one decimal below 100. */
export function formatRate(value: number | undefined): string {
  if (value === undefined) return DASH;
  if (!Number.isFinite(value)) return formatValue(value);
  return value >= 99.95 ? value.toFixed(0) : value.toFixed(1);
}

/** A part of one as a percentage. */
export function formatShare(value: number | undefined, digits = 1): string {
  if (value === undefined) return DASH;
  return Number.isFinite(value) ? `${(value * 100).toFixed(digits)} %` : formatValue(value);
}

/** A span of time given in ms: 12 s, 4 m 05 s, 3 h 10 m, 2 d 4 h. */
export function formatSpan(ms: number | undefined): string {
  if (ms === undefined) return DASH;
  if (!Number.isFinite(ms)) return formatValue(ms);
  if (ms > 0 && ms < 950) return `0.${Math.max(1, Math.round(ms / 100))} s`;
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${pad(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${pad(minutes % 60)} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A short time given in ms: 14 ms, 1.2 s. */
export function formatLatency(ms: number | undefined): string {
  if (ms === undefined) return DASH;
  if (!Number.isFinite(ms)) return formatValue(ms);
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A size given in bytes, in decimal units. */
export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined) return DASH;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = bytes;
  let unit = 0;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || size >= 99.5 ? size.toFixed(0) : size.toFixed(1)} ${units[unit]}`;
}

/** A time of day of a moment given in ms since the epoch. */
export function formatClock(ms: number): string {
  const time = new Date(ms);
  return `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
}

const DAY_MS = 86_400_000;

/** The day of a moment: Today, Yesterday, Tue 3 Mar; with the year where it is another one. */
export function dayWords(ms: number, nowMs: number): string {
  const day = startOfDay(ms);
  const today = startOfDay(nowMs);
  // Days are 23 to 25 hours long where clocks are put forward and back.
  const age = Math.round((today - day) / DAY_MS);
  if (age === 0) return "Today";
  if (age === 1) return "Yesterday";
  const time = new Date(ms);
  const year = time.getFullYear() === new Date(nowMs).getFullYear() ? "" : ` ${time.getFullYear()}`;
  return `${WEEKDAYS[time.getDay()]} ${time.getDate()} ${MONTHS[time.getMonth()]}${year}`;
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

function startOfDay(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

/** The minute of a moment: 14:05. */
export function formatMinute(ms: number): string {
  return formatClock(ms).slice(0, 5);
}

/** How long ago a moment was, in words short enough for a table. */
export function formatAgo(ms: number, nowMs: number): string {
  const age = Math.max(0, nowMs - ms);
  return age < 2_000 ? "now" : `${formatSpan(age)} ago`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}

function minus(text: string): string {
  return text.replace(/-/g, "−");
}
