/** Who asks, remembered by the browser: this API knows no people. */

import { useState } from "react";

export function useAuthor(): [string, (author: string) => void] {
  const [author, set] = useState(() => localStorage.getItem("author") ?? "");
  return [author, (next) => { localStorage.setItem("author", next); set(next); }];
}
