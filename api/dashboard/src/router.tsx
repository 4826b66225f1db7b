/** Addresses of the pages, by the browser's own history. The server answers them with the page, and any other with the page and 404. */

import type { AnchorHTMLAttributes, MouseEvent } from "react";
import { Store, useStore } from "./data/store";

export const to = {
  overview: () => "/",
  slo: (name: string) => `/slos/${encodeURIComponent(name)}`,
  services: () => "/services",
  service: (name: string) => `/services/${encodeURIComponent(name)}`,
  runs: () => "/runs",
  run: (id: number) => `/runs/${id}`,
  alerts: () => "/alerts",
  alert: (id: number) => `/alerts/${id}`,
  events: (subject?: string) => "/events" + (subject ? `?subject=${encodeURIComponent(subject)}` : ""),
};

const place = new Store(location.pathname + location.search);
addEventListener("popstate", () => place.set(location.pathname + location.search));

export function usePlace(): { path: string[]; query: URLSearchParams; href: string } {
  const href = useStore(place);
  const [pathname = "", search = ""] = href.split("?");
  return { path: pathname.split("/").filter(Boolean).map(decode), query: new URLSearchParams(search), href };
}

export function go(href: string, options: { replace?: boolean } = {}): void {
  history[options.replace ? "replaceState" : "pushState"](null, "", href);
  const samePage = href.split("?")[0] === place.get().split("?")[0];
  place.set(href);
  if (samePage) return;
  scrollTo(0, 0);
  // A new page is announced by its heading, as a loaded document would be.
  requestAnimationFrame(() => document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true }));
}

export function Link(props: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const follow = (click: MouseEvent<HTMLAnchorElement>) => {
    props.onClick?.(click);
    if (click.defaultPrevented || click.button !== 0 || click.metaKey || click.ctrlKey || click.shiftKey || click.altKey) return;
    click.preventDefault();
    go(props.href);
  };
  return <a {...props} onClick={follow} />;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
