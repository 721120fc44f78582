// A button beside a line of code that copies it.

/** Shows the button and copies the line's text whenever it is pressed. */
export function offerCopy(button, line) {
  // Browsers offer the clipboard only over HTTPS and on localhost.
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(line.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}
