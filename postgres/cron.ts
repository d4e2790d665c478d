/**
 * How far apart the runs of CronJobs are: what a schedule promises, for alerts.
 *
 * Reads the form that Kubernetes takes, of github.com/robfig/cron: five fields with lists, ranges, steps and English names.
 * A day counts when its day of the month or its day of the week does, if both are told; else when both do.
 * @module
 */

const minutesOfDay = 24 * 60;
const months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/** When a schedule runs: the minutes of a day, and which days. */
interface Schedule {
  readonly minutes: readonly number[];
  readonly isDay: (day: Date) => boolean;
}

/**
 * The longest time between two runs of any of these schedules, in seconds; nothing when there is none that can be read.
 *
 * @param schedules in cron form
 */
export function longestPauseSeconds(schedules: readonly string[]): number | undefined {
  const read = schedules.flatMap((text) => parse(text) ?? []);
  if (read.length === 0) return undefined;
  let longest = 0, last: number | undefined;
  // 29 February comes once in four years; nothing else is further apart than one.
  for (let day = 0; day < 5 * 366; day++) {
    const date = new Date(Date.UTC(2024, 0, 1 + day));
    const minutes = read.filter(({ isDay }) => isDay(date)).flatMap(({ minutes }) => minutes);
    if (minutes.length === 0) continue;
    const ofDay = [...new Set(minutes)].sort((a, b) => a - b);
    for (const minute of ofDay) {
      const at = day * minutesOfDay + minute;
      if (last !== undefined) longest = Math.max(longest, at - last);
      last = at;
    }
  }
  return longest === 0 ? undefined : longest * 60;
}

function parse(text: string): Schedule | undefined {
  const parts = text.toLowerCase().split(" ");
  const [minute, hour, ofMonth, month, ofWeek] = [
    field(parts[0], 0, 59),
    field(parts[1], 0, 23),
    field(parts[2], 1, 31),
    field(parts[3], 1, 12, months),
    field(parts[4], 0, 6, weekdays),
  ];
  if (!minute || !hour || !ofMonth || !month || !ofWeek || parts.length !== 5) return undefined;
  const isFree = [parts[2], parts[4]].some((part) => part!.split(",").includes("*"));
  return {
    minutes: [...hour].flatMap((hour) => [...minute].map((minute) => hour * 60 + minute)),
    isDay(day) {
      const [a, b] = [ofMonth.has(day.getUTCDate()), ofWeek.has(day.getUTCDay())];
      return month.has(day.getUTCMonth() + 1) && (isFree ? a && b : a || b);
    },
  };
}

/** The values of a field; nothing when it cannot be read. */
function field(text = "", min: number, max: number, names: readonly string[] = []): Set<number> | undefined {
  const values = new Set<number>();
  const number = (word: string) => /^\d{1,2}$/.test(word) ? Number(word) : names.indexOf(word) + (min || 0);
  for (const part of text.split(",")) {
    const [range = "", step = "1", ...more] = part.split("/");
    const [from = "", to] = range === "*" ? [String(min), String(max)] : range.split("-");
    const first = number(from);
    const last = to !== undefined ? number(to) : part.includes("/") ? max : first;
    const every = Number(step);
    const isKnown = (word: string) => /^\d{1,2}$/.test(word) || names.includes(word);
    if (more.length > 0 || !isKnown(from) || (to !== undefined && !isKnown(to)) || !(every >= 1)) {
      return undefined;
    }
    if (first < min || last > max || first > last) return undefined;
    for (let value = first; value <= last; value += every) values.add(value);
  }
  return values;
}
