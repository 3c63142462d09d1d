// A page that holds its data.
import { startPage } from "./main.js";

const { state, table, front, effects, serve } = JSON.parse(document.getElementById("data").textContent);
startPage().set({ state, table, front, effects, outputs: null, serve });
