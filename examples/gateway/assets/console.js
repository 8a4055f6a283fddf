// What the pages do beyond HTML: copying, and asking before a secret is lost. Without it, everything else works.
"use strict";

const one = (selector) => document.querySelector(selector);
const all = (selector) => document.querySelectorAll(selector);
let isCopied = !one("[data-guard]");

for (const button of all("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const mask = button.dataset.mask;
    const text = mask ? source.textContent.replaceAll(mask, one("#token").textContent) : source.textContent;
    const status = one("#copied");
    try {
      await navigator.clipboard.writeText(text);
      isCopied = true;
      status.textContent = "Copied.";
    } catch {
      status.textContent = "Your browser did not let us copy. Show it, and copy it by hand.";
    }
  });
}

// By hand is copied as well.
document.addEventListener("copy", () => {
  if (one("#token") && document.getSelection().toString().includes(one("#token").textContent)) isCopied = true;
});

addEventListener("beforeunload", (event) => {
  if (!isCopied) event.preventDefault();
});

const dialog = one("#not-copied");
const close = one("[data-close]");
if (dialog && close) {
  close.addEventListener("click", (event) => {
    if (isCopied) return;
    event.preventDefault();
    dialog.showModal();
  });
  one("[data-stay]").addEventListener("click", () => dialog.close());
  one("[data-leave]").addEventListener("click", () => {
    isCopied = true;
    location.assign(close.href);
  });
}

// An empty choice is not sent.
for (const group of all("[data-at-least-one]")) {
  const boxes = [...group.querySelectorAll("input[type=checkbox]")];
  const form = group.closest("form");
  const check = () => {
    const only = group.closest(".scope")?.querySelector(".only");
    const isNeeded = !only || only.checked;
    const isEmpty = isNeeded && !boxes.some((box) => box.checked);
    boxes[0]?.setCustomValidity(isEmpty ? "Choose at least one." : "");
  };
  form.addEventListener("change", check);
  check();
}

for (const field of all(".scope [data-required]")) {
  const form = field.closest("form");
  const check = () => {
    field.required = field.closest(".scope").querySelector(".only:checked") !== null;
  };
  form.addEventListener("change", check);
  check();
}

// A second click sends nothing: the first answer has the secret.
for (const form of all("form[data-once]")) {
  form.addEventListener("submit", () => {
    form.querySelector("button[type=submit]").disabled = true;
  });
}

// A page that comes back from memory may be of a session that has ended.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
