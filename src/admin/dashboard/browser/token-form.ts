/** The form that asks for the token when the server wants one. */
import { byId, setText } from "./dom.ts";
import { forgetToken, keepToken, token } from "./server.ts";

/** Shows it, and resolves with the first token that is given. */
export function askForToken(): Promise<void> {
  const section = byId("token", HTMLElement);
  const form = byId("token-form", HTMLFormElement);
  const input = byId("token-text", HTMLInputElement);
  setText(byId("token-wrong", HTMLParagraphElement), token() === undefined ? "" : "That was not the token.");
  forgetToken();
  section.hidden = false;
  input.value = "";
  input.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      keepToken(input.value.trim());
      input.value = "";
      section.hidden = true;
      resolve();
    };
  });
}
