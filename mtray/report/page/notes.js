// What to know before believing it: notes, trials without a result, versions.
import { el, folded, list } from "./dom.js";

export function notesSection() {
  const node = el("section", { id: "notes", "aria-label": "Notes" });
  let drawn = null;
  return {
    node,
    needs: ["front", "state"],
    update: page => {
      const { front, state } = page.data,
        asked = state?.asked ?? [];
      node.hidden = !front && !asked.length;
      if (drawn && drawn.front === front && drawn.last === asked.join("\n")) return; // what is unfolded stays so
      drawn = { front, last: asked.join("\n") };
      const requests = asked.length > 0 && folded(`Requests to the running sweep (${asked.length})`, list(asked));
      if (!front) {
        node.replaceChildren(...[requests].filter(Boolean));
        return;
      }
      const ended = [
        ["Pruned", front.pruned],
        ["Stopped by the user", front.stopped],
        ["Infeasible", front.infeasible],
        ["Failed", front.failed],
      ]
        .map(([name, found]) => [name, Object.entries(found ?? {})])
        .filter(([, found]) => found.length);
      node.replaceChildren(
        el("h2", {}, "Before you believe it"),
        el("div", { class: "small" }, list(front.notes)),
        ...ended.map(([name, found]) =>
          folded(
            `${name} trials (${found.length})`,
            list(found.slice(0, 200).map(([n, why]) => `${n}: ${why}`)),
            found.length > 200 && el("p", { class: "soft" }, "The table has all of them."),
          ),
        ),
        requests || "",
        folded(
          "Versions",
          el(
            "p",
            {},
            Object.entries(front.versions)
              .map(([name, version]) => `${name} ${version}`)
              .join(" · "),
          ),
        ),
      );
    },
  };
}
