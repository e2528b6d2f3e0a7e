"use strict";
// One clip at a time: films by letter, three questions, every answer stored as soon as it is whole.
(() => {
  const byId = (name) => document.getElementById(name);
  const token = location.pathname.split("/")[2];
  const make = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  let state = null, saving = Promise.resolve(), pending = 0, failed = false;

  const load = async (at) => {
    const query = at === undefined ? "" : "?at=" + at;
    const answer = await fetch("/api/" + token + query);
    if (!answer.ok) throw new Error((await answer.json()).error);
    state = await answer.json();
    show();
  };

  const show = () => {
    const over = state.at >= state.total;
    byId("study").hidden = over;
    byId("thanks").hidden = !over;
    if (over) { byId("films").replaceChildren(); return; }
    byId("title").textContent = "Clip " + (state.at + 1) + " of " + state.total;
    byId("progress").max = state.total;
    byId("progress").value = state.done;
    byId("previous").disabled = state.at === 0;
    byId("saved").textContent = "";
    const films = [film("before", "Before", "before"), ...state.letters.map((letter) => film(letter, letter, ""))];
    byId("films").replaceChildren(...films);
    byId("questions").replaceChildren(...state.questions.map(question));
    refresh();
    together();
    scrollTo(0, 0);
  };

  const film = (slot, title, kind) => {
    const box = make("figure", "", kind), video = make("video");
    Object.assign(video, { muted: true, loop: true, playsInline: true, preload: "auto" });
    video.src = "/film/" + token + "/" + state.at + "/" + slot;
    video.setAttribute("aria-label", title);
    video.addEventListener("click", () => box.classList.toggle("large"));
    box.append(video, make("figcaption", title));
    return box;
  };

  const videos = () => [...byId("films").querySelectorAll("video")];

  const together = async () => {
    const all = videos();
    await Promise.all(all.map((video) => video.readyState >= 3 || new Promise((ready) => {
      video.addEventListener("canplay", ready, { once: true });
      video.addEventListener("error", ready, { once: true });
    })));
    for (const video of all) { video.currentTime = 0; video.play().catch(() => {}); }
  };

  // Loops of single films drift apart; frames are to be compared, so those that are off follow the first.
  setInterval(() => {
    const [first, ...others] = videos();
    if (!first || first.paused || first.currentTime < 0.1) return;
    for (const video of others) {
      const off = Math.abs(video.currentTime - first.currentTime);
      if (off > 0.06 && off < first.duration - 0.2) video.currentTime = first.currentTime;
    }
  }, 500);

  const question = (each) => {
    const box = make("fieldset"), row = make("div", "", "choices");
    box.dataset.key = each.key;
    const given = state.answers[each.key];
    const choice = (value, text, on) => {
      const label = make("label", text), input = make("input");
      Object.assign(input, { type: "checkbox", value, checked: on });
      input.addEventListener("change", () => changed(box, input));
      label.prepend(input);
      row.append(label);
    };
    for (const letter of state.letters) choice(letter, letter, Boolean(given && given.includes(letter)));
    choice("", "None", Boolean(given && given.length === 0));
    box.append(make("legend", each.title), make("p", each.help + " Choose all that are acceptable."), row);
    return box;
  };

  const chosen = (box) => [...box.querySelectorAll("input:checked")].map((input) => input.value);

  const changed = (box, input) => {
    // None and a letter exclude each other.
    for (const other of box.querySelectorAll("input:checked")) {
      if (other !== input && (input.value === "" || other.value === "")) other.checked = false;
    }
    if (chosen(box).length) store({ [box.dataset.key]: chosen(box).filter((value) => value) });
    refresh();
  };

  const store = (answers) => {
    const at = state.at;
    pending += 1;
    byId("saved").textContent = "Storing";
    saving = saving.then(async () => {
      try {
        const answer = await fetch("/api/" + token + "/" + at, {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(answers),
        });
        failed = !answer.ok;
      } catch (error) {
        failed = true;
      }
      pending -= 1;
      const well = pending ? "Storing" : "Stored";
      byId("saved").textContent = failed ? "Not stored. Is the server running? Choose again." : well;
      byId("saved").classList.toggle("trouble", failed);
    });
  };

  const refresh = () => {
    let open = 0;
    for (const box of byId("questions").children) {
      const empty = chosen(box).length === 0;
      box.classList.toggle("open", empty);
      open += empty;
    }
    byId("next").disabled = open > 0;
    byId("next").textContent = state.at + 1 === state.total ? "Finish" : "Next";
  };

  byId("next").addEventListener("click", async () => {
    // All once more: an answer that did not reach the server must not be lost by going on.
    for (const box of byId("questions").children) store({ [box.dataset.key]: chosen(box).filter((value) => value) });
    byId("next").disabled = true;
    await saving;
    if (failed) { refresh(); return; }
    await (state.at + 1 < state.total ? load(state.at + 1) : load());
  });
  byId("previous").addEventListener("click", async () => { await saving; await load(state.at - 1); });
  byId("replay").addEventListener("click", together);
  load().catch((error) => { byId("title").textContent = "This did not work: " + error.message; });
})();
