"use strict";
// Two versions of a clip, drawn out of the same frame of one video: left of the line one, right of it the other.
(() => {
  const byId = (name) => document.getElementById(name);
  const data = JSON.parse(byId("data").textContent);
  const film = byId("film"), canvas = byId("picture"), pen = canvas.getContext("2d");
  const wipe = byId("wipe"), stage = byId("stage"), play = byId("play"), frame = byId("frame");
  const pick = { set: byId("set"), clip: byId("clip"), left: byId("left"), right: byId("right") };
  const urls = new Map();
  let clip = null, share = 0.5;

  const options = (select, pairs, wanted) => {
    select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value, false, value === wanted)));
  };

  const url = (index) => {
    if (!urls.has(index)) {
      const packed = atob(byId("film-" + index).textContent);
      const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
      urls.set(index, URL.createObjectURL(new Blob([bytes], { type: "video/mp4" })));
    }
    return urls.get(index);
  };

  const draw = () => {
    if (!clip || film.readyState < 2) return;
    const one = clip.versions[pick.left.value], other = clip.versions[pick.right.value];
    const width = clip.width, height = clip.height, edge = Math.round(width * share);
    pen.drawImage(film, other.at[0], other.at[1], width, height, 0, 0, width, height);
    if (edge > 0) pen.drawImage(film, one.at[0], one.at[1], edge, height, 0, 0, edge, height);
    const now = current();
    if (film.paused === false || document.activeElement !== frame) frame.value = now;
    byId("count").textContent = now + 1 + " / " + clip.frames;
    canvas.dataset.frame = now;
  };

  const current = () => Math.min(Math.floor(film.currentTime * data.fps + 0.01), clip.frames - 1);

  const setShare = (value) => {
    share = Math.min(Math.max(value, 0), 1);
    wipe.style.left = share * 100 + "%";
    wipe.setAttribute("aria-valuenow", Math.round(share * 100));
    draw();
  };

  const seek = (number) => {
    const count = clip.frames;
    // The middle of a frame, so that rounding never shows its neighbour.
    film.currentTime = ((((number % count) + count) % count) + 0.5) / data.fps;
  };

  const step = (by) => { film.pause(); seek(current() + by); };

  const number = (value, measure) =>
    value === undefined ? "" : value.toFixed(measure.digits) + (measure.unit ? " " + measure.unit : "");

  const facts = () => {
    const one = clip.versions[pick.left.value], other = clip.versions[pick.right.value];
    byId("left-tag").textContent = one.name;
    byId("right-tag").textContent = other.name;
    const table = document.createElement("table");
    const line = (cells, tag, best) => {
      const row = table.insertRow();
      cells.forEach((text, index) => {
        const cell = document.createElement(index ? tag : "th");
        cell.textContent = text;
        if (index && index === best) cell.className = "best";
        row.append(cell);
      });
    };
    line(["This clip", one.name, other.name], "th", -1);
    for (const measure of data.measures) {
      const a = one.scores[measure.key], b = other.scores[measure.key];
      if (a === undefined && b === undefined) continue;
      const better = a === b ? -1 : (a > b) === measure.higher ? 1 : 2;
      line([measure.title, number(a, measure), number(b, measure)], "td", better);
    }
    const box = document.createElement("details"), head = document.createElement("summary");
    head.textContent = "Numbers of these two on this clip";
    box.open = byId("facts").firstChild ? byId("facts").firstChild.open : false;
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.append(table);
    box.append(head, scroll);
    byId("facts").replaceChildren(box);
    draw();
  };

  const chooseClip = () => {
    const index = Number(pick.clip.value), before = clip;
    const names = before ? [before.versions[pick.left.value].name, before.versions[pick.right.value].name] : [];
    clip = data.clips[index];
    const kept = names.map((name) => clip.versions.findIndex((version) => version.name === name));
    const ours = clip.versions.findIndex((version) => version.name.startsWith("HarmoVid"));
    const last = ours >= 0 ? ours : clip.versions.length - 1;
    const pairs = clip.versions.map((version, place) => [String(place), version.name]);
    options(pick.left, pairs, String(kept[0] >= 0 ? kept[0] : 0));
    options(pick.right, pairs, String(kept[1] >= 0 ? kept[1] : last));
    canvas.width = clip.width;
    canvas.height = clip.height;
    stage.style.maxWidth = "calc(66vh * " + clip.width / clip.height + ")";
    frame.max = clip.frames - 1;
    const playing = !film.paused;
    film.src = url(index);
    film.playbackRate = Number(byId("speed").value);
    film.addEventListener("loadeddata", () => { seek(0); if (playing) film.play(); }, { once: true });
    facts();
  };

  const chooseSet = () => {
    const fitting = data.clips.map((each, index) => [String(index), each]).filter(([, each]) => each.set === pick.set.value);
    options(pick.clip, fitting.map(([index, each]) => [index, each.clip]), fitting[0][0]);
    chooseClip();
  };

  const loop = () => { if (!film.paused) draw(); requestAnimationFrame(loop); };

  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    setShare((event.clientX - box.left) / box.width);
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    wipe.focus({ preventScroll: true });
    drag(event);
    stage.addEventListener("pointermove", drag);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, () => stage.removeEventListener("pointermove", drag));
  }
  wipe.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: share - 0.02, ArrowRight: share + 0.02, PageDown: share - 0.1, PageUp: share + 0.1, Home: 0, End: 1 };
    if (event.key in moves) { event.preventDefault(); setShare(moves[event.key]); }
  });
  document.addEventListener("keydown", (event) => {
    if (["SELECT", "BUTTON", "SUMMARY", "A"].includes(event.target.tagName)) return;
    if (event.key === " ") { event.preventDefault(); play.click(); }
    if (event.key === ",") step(-1);
    if (event.key === ".") step(1);
  });
  play.addEventListener("click", () => (film.paused ? film.play() : film.pause()));
  for (const what of ["play", "pause"]) {
    film.addEventListener(what, () => {
      play.textContent = film.paused ? "Play" : "Pause";
      play.setAttribute("aria-pressed", String(!film.paused));
    });
  }
  film.addEventListener("seeked", draw);
  film.addEventListener("loadeddata", draw);
  frame.addEventListener("input", () => { film.pause(); seek(Number(frame.value)); });
  byId("back").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("speed").addEventListener("change", () => { film.playbackRate = Number(byId("speed").value); });
  pick.set.addEventListener("change", chooseSet);
  pick.clip.addEventListener("change", chooseClip);
  pick.left.addEventListener("change", facts);
  pick.right.addEventListener("change", facts);
  const sets = [...new Set(data.clips.map((each) => each.set))];
  options(pick.set, sets.map((name) => [name, data.sets[name]]), sets[0]);
  chooseSet();
  loop();
})();
