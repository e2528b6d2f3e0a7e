"use strict";
// The start page: a new participant, or back to one whose cookie this browser has.
(() => {
  const byId = (name) => document.getElementById(name);
  const ask = async (path) => {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
    if (!answer.ok) throw new Error((await answer.json()).error);
    return (await answer.json()).token;
  };
  let known = "";
  byId("begin").addEventListener("click", async () => {
    byId("begin").disabled = true;
    try {
      location.assign("/p/" + (await ask("/begin")));
    } catch (error) {
      byId("begin").disabled = false;
      byId("trouble").textContent = "This did not work: " + error.message + ". Please try again.";
    }
  });
  byId("resume").addEventListener("click", () => location.assign("/p/" + known));
  ask("/resume").then((token) => { known = token; byId("resume").hidden = !token; }).catch(() => {});
})();
