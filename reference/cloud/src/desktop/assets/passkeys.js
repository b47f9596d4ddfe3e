// Forms that a passkey fills in. Without this script they stay hidden, and there is the password.
"use strict";

const encode = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const decode = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const { passkey: kind, origin, options: address } = form.dataset;
  const wrong = form.querySelector(".wrong");
  // An authenticator gives a passkey to pages of its origin alone.
  if (location.origin !== origin) document.querySelector("[data-elsewhere]").hidden = false;
  else form.hidden = !window.PublicKeyCredential;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const fields = await (kind === "create" ? create : get)(await options());
      for (const [name, bytes] of Object.entries(fields)) form.elements[name].value = encode(bytes);
      form.submit();
    } catch (error) {
      wrong.textContent = sentence(error);
      wrong.hidden = false;
      button.disabled = false;
    }
  });

  async function options() {
    const body = new URLSearchParams({ token: form.elements.token?.value ?? "" });
    const answer = await fetch(address, { method: "POST", headers: { Accept: "text/plain" }, body });
    if (!answer.ok) throw new Error(await answer.text());
    return (await answer.json()).options;
  }
}

async function create(options) {
  options.challenge = decode(options.challenge);
  options.user.id = decode(options.user.id);
  for (const known of options.excludeCredentials) known.id = decode(known.id);
  const { response } = await navigator.credentials.create({ publicKey: options });
  return { client_data: response.clientDataJSON, attestation: response.attestationObject };
}

async function get(options) {
  options.challenge = decode(options.challenge);
  const { rawId, response } = await navigator.credentials.get({ publicKey: options });
  return {
    credential: rawId,
    client_data: response.clientDataJSON,
    authenticator_data: response.authenticatorData,
    signature: response.signature,
    user_handle: response.userHandle ?? new ArrayBuffer(0),
  };
}

function sentence(error) {
  switch (error.name) {
    case "Error": return error.message;
    case "InvalidStateError": return "There is a passkey of this account on this device already.";
    case "NotAllowedError": return "No passkey was used.";
    default: return `This did not work (${error.name}).`;
  }
}
