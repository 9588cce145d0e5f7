// Passkeys: asks the browser for one, or to make one. The only pages that need a script; a code works without.
"use strict";
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function send(path, body, csrf) {
  const headers = { "Content-Type": typeof body === "string" ? "application/json" : "application/x-www-form-urlencoded" };
  if (csrf) headers["X-CSRF-Token"] = csrf;
  const answer = await fetch(path, { method: "POST", headers, body });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail);
  return told;
}

async function add(form) {
  const fields = new URLSearchParams(new FormData(form));
  const { publicKey } = await send("/account/passkeys/begin", fields, fields.get("csrf"));
  publicKey.challenge = bytes(publicKey.challenge);
  publicKey.user.id = bytes(publicKey.user.id);
  for (const one of publicKey.excludeCredentials || []) one.id = bytes(one.id);
  const made = await navigator.credentials.create({ publicKey });
  const answer = {
    id: made.id, rawId: text(made.rawId), type: made.type, extensions: {},
    response: { attestationObject: text(made.response.attestationObject), clientDataJSON: text(made.response.clientDataJSON) },
  };
  return send("/account/passkeys/add", JSON.stringify(answer), fields.get("csrf"));
}

async function logIn(form) {
  const fields = new URLSearchParams(new FormData(form));
  const { publicKey } = await send("/login/passkey/begin", fields);
  publicKey.challenge = bytes(publicKey.challenge);
  for (const one of publicKey.allowCredentials || []) one.id = bytes(one.id);
  const made = await navigator.credentials.get({ publicKey });
  const { response } = made;
  const answer = {
    id: made.id, rawId: text(made.rawId), type: made.type, extensions: {},
    response: {
      authenticatorData: text(response.authenticatorData), clientDataJSON: text(response.clientDataJSON), signature: text(response.signature),
      userHandle: response.userHandle ? text(response.userHandle) : null,
    },
  };
  return send(`/login/passkey?${fields}`, JSON.stringify(answer));
}

for (const [name, act] of [["add", add], ["login", logIn]]) {
  for (const form of document.querySelectorAll(`form[data-passkey=${name}]`)) {
    // A passkey is of a name: at an address of digits there is none.
    if (!window.PublicKeyCredential || /^[\d.]+$|:/.test(location.hostname)) continue;
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const fault = form.querySelector("[role=alert]");
      fault.textContent = "";
      try {
        location.assign((await act(form)).next);
      } catch (error) {
        fault.textContent = error.name === "NotAllowedError" ? "No passkey was used. Try again, or use a code." : error.message;
      }
    });
  }
}
