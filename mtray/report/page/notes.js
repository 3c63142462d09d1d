// What to know before believing it: notes, trials without a result, versions.
import { el, folded, list } from "./dom.js";

export function notesSection() {
  const node = el("section", { id: "notes", "aria-label": "Notes" });
  return {
    node,
    needs: ["front"],
    update: page => {
      const { front } = page.data;
      node.hidden = !front;
      if (!front) return;
      const ended = [
        ["Pruned", front.pruned],
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
