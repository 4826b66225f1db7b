/** Who asks, remembered by the browser: this API knows no people. */

import { Store, useStore } from "./store";

const author = new Store(localStorage.getItem("author") ?? "");

export function useAuthor(): [string, (author: string) => void] {
  return [useStore(author), (next) => { localStorage.setItem("author", next); author.set(next); }];
}
