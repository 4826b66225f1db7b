/**
 * Every number and time that a person reads is spelled here, and nowhere else.
 *
 * In: plain numbers and RFC 3339 times, or null where nothing is known.
 * Out: short strings that never claim more than the number says: 99.95 % is not 100 %,
 * one lost event is not 0 %, and what is not known is a dash.
 */

export type Maybe<T> = T | null | undefined;

/** Narrow no-break space: between a number and its unit, and between groups of digits. */
export const THIN = "\u202f";
export const MINUS = "\u2212";
export const UNKNOWN = "–";

/** `1234567` -> `1 234 567` */
export function count(value: Maybe<number>): string {
  if (!known(value)) return UNKNOWN;
  return grouped(value, 0);
}

/** A count that may be a fraction, as an error budget in events is: `12.5`, `1 204`. */
export function events(value: Maybe<number>): string {
  if (!known(value)) return UNKNOWN;
  if (Number.isInteger(value) || Math.abs(value) >= 100) return grouped(value, 0);
  return trimmed(grouped(value, 1));
}

/** An objective's target: every digit that was written, none that was not. `0.9995` -> `99.95 %` */
export function target(ratio: Maybe<number>): string {
  if (!known(ratio)) return UNKNOWN;
  return trimmed(grouped(ratio * 100, 8)) + THIN + "%";
}

/**
 * A share of good events. As many digits as tell it from 1 (and from the target, if given):
 * the first two digits of what is missing.
 */
export function sli(ratio: Maybe<number>, against?: number): string {
  if (!known(ratio)) return UNKNOWN;
  const missing = 1 - ratio;
  let digits = missing <= 0 ? 2 : clamp(Math.ceil(-Math.log10(missing * 100)) + 1, 2, 8);
  if (known(against)) {
    while (digits < 8 && crosses(ratio, against, digits)) digits += 1;
  }
  const text = grouped(keepShort(ratio * 100, 100, digits), digits);
  return (ratio >= 1 ? "100" : text) + THIN + "%";
}

/** A share of anything else: budget left, errors, coverage. Negative is possible. */
export function percent(ratio: Maybe<number>): string {
  if (!known(ratio)) return UNKNOWN;
  const value = ratio * 100;
  const size = Math.abs(value);
  if (value === 0 || value === 100) return value + THIN + "%";
  if (size < 0.0001) return (value < 0 ? ">" + MINUS : "<") + "0.0001" + THIN + "%";
  let digits = size >= 100 ? 0 : 1;
  while (digits < 8 && !honest(value, digits)) digits += 1;
  return grouped(value, digits) + THIN + "%";
}

/** A round share beside an axis: no digits that say nothing. */
export function percentTick(ratio: number): string {
  return percent(Number(ratio.toFixed(6))).replace(/\.0(?=\D)/, "");
}

/** `14.4×` */
export function burn(rate: Maybe<number>): string {
  if (!known(rate)) return UNKNOWN;
  if (rate === 0) return "0×";
  if (rate < 0.01) return "<0.01×";
  const digits = rate >= 99.95 ? 0 : rate >= 9.995 ? 1 : 2;
  const text = grouped(rate, digits);
  return (digits === 2 ? trimmed(text) : digits === 1 ? text.replace(/\.0$/, "") : text) + "×";
}

/** `2.0 kB`, `5.3 MB`: powers of ten, as networks count. */
export function bytes(value: Maybe<number>): string {
  if (!known(value)) return UNKNOWN;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let power = 0;
  while (power < units.length - 1 && Math.round(value / 1000 ** power) >= 1000) power += 1;
  const scaled = value / 1000 ** power;
  return grouped(scaled, power === 0 || scaled >= 99.95 ? 0 : 1) + THIN + units[power];
}

/** `1 204/s`, `0.31/s` */
export function perSecond(rate: Maybe<number>): string {
  if (!known(rate)) return UNKNOWN;
  if (rate === 0) return "0/s";
  if (rate < 0.01) return "<0.01/s";
  return trimmed(grouped(rate, rate >= 99.95 ? 0 : rate >= 9.995 ? 1 : 2)) + "/s";
}

/** A latency: three figures. `0.27 ms`, `12.4 ms`, `512 ms`, `1.20 s` */
export function latency(ms: Maybe<number>): string {
  if (!known(ms)) return UNKNOWN;
  if (ms === 0) return "0" + THIN + "ms";
  if (ms < 0.001) return "<1" + THIN + "µs";
  if (ms < 0.0995) return grouped(ms * 1000, ms < 0.00995 ? 1 : 0) + THIN + "µs";
  if (ms < 9.995) return grouped(ms, 2) + THIN + "ms";
  if (ms < 99.95) return grouped(ms, 1) + THIN + "ms";
  if (ms < 999.5) return grouped(ms, 0) + THIN + "ms";
  return duration(ms / 1000);
}

const UNITS = [
  { name: "d", seconds: 86_400 },
  { name: "h", seconds: 3_600 },
  { name: "min", seconds: 60 },
  { name: "s", seconds: 1 },
] as const;

/** At most two units, rounded: `30 d`, `2 h 5 min`, `4 min 12 s`, `1.2 s`, `250 ms`. */
export function duration(seconds: Maybe<number>): string {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 0) return MINUS + duration(-seconds);
  if (seconds === 0) return "0" + THIN + "s";
  if (seconds < 0.9995) return latencyLike(seconds * 1000);
  if (seconds < 9.95) return trimmed(grouped(seconds, 1)) + THIN + "s";
  if (seconds < 59.5) return grouped(seconds, 0) + THIN + "s";
  for (let i = 0; i < UNITS.length - 1; i += 1) {
    const big = UNITS[i]!;
    const small = UNITS[i + 1]!;
    const inSmall = Math.round(seconds / small.seconds);
    if (inSmall * small.seconds < big.seconds) continue;
    const ratio = big.seconds / small.seconds;
    const whole = Math.floor(inSmall / ratio);
    const rest = inSmall % ratio;
    const head = grouped(whole, 0) + THIN + big.name;
    return rest === 0 || whole >= 100 ? head : head + " " + rest + THIN + small.name;
  }
  return grouped(seconds, 0) + THIN + "s";
}

/** A span named by its definition: one unit where it fits. `5 min`, `1 h`, `30 d`, `90 min` */
export function window(seconds: Maybe<number>): string {
  if (!known(seconds)) return UNKNOWN;
  for (const unit of UNITS) {
    if (seconds >= unit.seconds && seconds % unit.seconds === 0) {
      return seconds / unit.seconds + THIN + unit.name;
    }
  }
  return duration(seconds);
}

/** Time left, ticking: `0:07`, `4:12`, `1:02:03`. Never negative. */
export function countdown(seconds: number): string {
  const left = Math.max(0, Math.ceil(seconds));
  const h = Math.floor(left / 3600);
  const m = Math.floor((left % 3600) / 60);
  const s = String(left % 60).padStart(2, "0");
  return h > 0 ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

/** `just now`, `12 s ago`, `3 min ago`, `2 d ago`, `in 4 h`. One unit: ages are read at a glance. */
export function ago(seconds: Maybe<number>): string {
  if (!known(seconds)) return UNKNOWN;
  const size = Math.abs(seconds);
  if (size < 1.5) return "just now";
  const unit = UNITS.find((u) => size >= u.seconds * (u.name === "s" ? 1 : 1.5)) ?? UNITS[3];
  const text = Math.round(size / unit.seconds) + THIN + unit.name;
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

/** The time of day, with the date once it is not today's. Local time zone. */
export function clock(at: Date, now: Date, withSeconds = true): string {
  const time = [at.getHours(), at.getMinutes(), ...(withSeconds ? [at.getSeconds()] : [])]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
  if (at.toDateString() === now.toDateString()) return time;
  return `${day(at, now)} ${time}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function day(at: Date, now: Date): string {
  const date = `${at.getDate()} ${MONTHS[at.getMonth()]}`;
  return at.getFullYear() === now.getFullYear() ? date : `${date} ${at.getFullYear()}`;
}

/** `one limit`, `3 limits` */
export function plural(n: number, one: string, many = one + "s"): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** `max_burn_rate` -> `max burn rate` */
export function words(name: string): string {
  return name.replace(/[_-]+/g, " ").trim();
}

function known(value: Maybe<number>): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

function grouped(value: number, digits: number): string {
  const [whole = "0", fraction] = Math.abs(value).toFixed(digits).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, THIN) + (fraction ? "." + fraction : "");
  return value < 0 && Number(Math.abs(value).toFixed(digits)) !== 0 ? MINUS + text : text;
}

function trimmed(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Sub-second spans: whole milliseconds, or latency's figures below ten. */
function latencyLike(ms: number): string {
  return ms >= 10 ? grouped(ms, 0) + THIN + "ms" : latency(ms);
}

/** Rounding must not reach 0, 100 or the other side of either. */
function honest(value: number, digits: number): boolean {
  const rounded = Number(value.toFixed(digits));
  return [0, 100].every((edge) => Math.sign(rounded - edge) === Math.sign(value - edge));
}

function crosses(ratio: number, against: number, digits: number): boolean {
  const rounded = Number((ratio * 100).toFixed(digits));
  const line = Number((against * 100).toFixed(8));
  return Math.abs(ratio - against) > 1e-12 && Math.sign(rounded - line) !== Math.sign(ratio - against);
}

/** A value below the edge stays below it at this many digits. */
function keepShort(value: number, edge: number, digits: number): number {
  if (value >= edge) return value;
  const unit = 10 ** -digits;
  return Number(value.toFixed(digits)) >= edge ? edge - unit : value;
}
