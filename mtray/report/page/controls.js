// Requests of the user to the running sweep: pause, add trials, set a time limit, stop a trial.
import { el, own } from "./dom.js";
import { empty } from "./format.js";

export function sweepControls() {
  const said = el("p", { class: "small said", role: "status" }),
    pause = el("button", { type: "button" }),
    limit = el("span", { class: "soft small" }),
    off = el("button", { type: "button" }, "Remove the limit");
  const my = { said, page: null, sweep: null, busy: false };
  const more = number("trials", "5", { type: "number", min: 1, max: 10000, step: 1 }),
    time = number("time limit", "2h", { type: "text", maxlength: 20, size: 6 });
  pause.addEventListener("click", () => ask(my, my.sweep.paused ? "resume" : "pause"));
  off.addEventListener("click", () => ask(my, "time-limit", "off"));
  my.node = el(
    "div",
    { class: "controls", role: "group", "aria-label": "Controls of the sweep" },
    pause,
    form([more.label], "Add", () => ask(my, "add-trials", more.input.value)),
    form([time.label], "Set", () => ask(my, "time-limit", time.input.value)),
    limit,
    off,
    said,
  );
  my.update = (page, sweep) => {
    Object.assign(my, { page, sweep });
    my.node.hidden = !page.control;
    pause.textContent = sweep.paused ? "Resume" : "Pause";
    limit.textContent = empty(sweep.until)
      ? ""
      : `no trial starts after ${new Date(1000 * sweep.until).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
    off.hidden = empty(sweep.until);
  };
  return my;
}
function number(name, value, attrs) {
  const input = el("input", { value, required: true, ...attrs });
  return { input, label: el("label", {}, name === "trials" ? "add" : name, input, name === "trials" && name) };
}
const form = (kids, name, send) =>
  el(
    "form",
    {
      onsubmit: event => {
        event.preventDefault();
        send();
      },
    },
    kids,
    el("button", {}, name),
  );

// a button that ends one trial; `my`: of the section's controls
export const stopButton = (my, trial) =>
  el(
    "button",
    {
      type: "button",
      class: "stop",
      onclick: () => {
        const text = `Stop trial ${trial.name}? Its training so far is lost, and it is recorded as stopped, without a result.`;
        if (confirm(text)) ask(my, "stop-trial", trial.name);
      },
    },
    `Stop trial ${trial.name}`,
  );

async function ask(my, what, value = null) {
  if (my.busy) return;
  my.busy = true;
  my.said.replaceChildren("Asking the sweep …");
  try {
    my.said.replaceChildren(own(`${what}: ${await my.page.control(what, value)}`));
  } catch (error) {
    my.said.replaceChildren(own(`${what}: ${error.message}`));
  }
  my.busy = false;
}
