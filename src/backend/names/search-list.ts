/** Names that are not complete: the search list of the machine, as resolv.conf(5) describes it. */

/** What is put behind a name, and when. */
export interface SearchList {
  readonly domains: readonly string[];
  /** A name with at least so many dots is first asked as it is. */
  readonly dots: number;
}

/** For servers that are asked for complete names only. */
export const noSearchList: SearchList = { domains: [], dots: 1 };

/** Domains beyond these are not tried. */
const domainsMax = 16;
/** What the C library takes as well (RES_MAXNDOTS). */
const dotsMax = 15;
/** The longest DNS name (RFC 1035 section 2.3.4); what would be longer is not asked. */
const nameCharsMax = 253;

/** Reads /etc/resolv.conf. The last `search` or `domain` counts; without one it is the domain of the machine's own name. */
export function parseSearchList(text: string, hostname: string): SearchList {
  let domains: readonly string[] | undefined;
  let dots = 1;
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "search") domains = values;
    if (keyword === "domain") domains = values.slice(0, 1);
    if (keyword !== "options") continue;
    for (const value of values) {
      const digits = /^ndots:([0-9]{1,4})$/.exec(value)?.[1];
      if (digits !== undefined) dots = Math.min(Number(digits), dotsMax);
    }
  }
  domains ??= hostname.includes(".") ? [hostname.slice(hostname.indexOf(".") + 1)] : [];
  const complete = domains.map((domain) => domain.toLowerCase().replace(/^\.+|\.+$/g, ""));
  return { domains: complete.filter((domain) => domain !== "").slice(0, domainsMax), dots };
}

/** The complete names that a name may mean, in the order in which they are asked; the first that is there is meant. */
export function candidates(name: string, list: SearchList): readonly string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const longer = list.domains.map((domain) => `${name}.${domain}`).filter((each) => each.length <= nameCharsMax);
  return name.split(".").length > list.dots ? [name, ...longer] : [...longer, name];
}
