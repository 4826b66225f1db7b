import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { start } from "./data/live";
import "./style/tokens.css";
import "./style/base.css";
import "./style/parts.css";
import "./style/narrow.css";

start();
createRoot(document.getElementById("root")!).render(<StrictMode><App /></StrictMode>);
