// What a page does by itself: lists that refresh, and the wipe between a frame's two pictures.
"use strict";

const REFRESH_MS = 3000;

// The server renders the page again; its live part takes the place of ours, unless a button in it has the focus.
async function refresh() {
  const here = document.querySelector("[data-live]");
  if (!here || document.hidden || here.contains(document.activeElement)) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-live]");
    if (fresh) here.replaceWith(fresh);
  } catch {
    // The server is away; the next look may find it.
  }
}

function wipe() {
  const box = document.querySelector("[data-wipe]");
  if (!box) return;
  const over = box.querySelector(".over");
  const handle = document.querySelector(".handle");
  const slider = handle.querySelector("input");
  const edge = box.querySelector(".edge");
  const show = () => {
    over.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
    edge.style.left = `${slider.value}%`;
  };
  box.classList.add("on");
  handle.hidden = false;
  slider.addEventListener("input", show);
  box.addEventListener("pointermove", (event) => {
    const frame = box.getBoundingClientRect();
    slider.value = String(100 * (event.clientX - frame.left) / frame.width);
    show();
  });
  show();
}

wipe();
if (document.querySelector("[data-live]")) setInterval(refresh, REFRESH_MS);
