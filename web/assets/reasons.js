// Why a fetch failed, in words; the outcomes are those of docs/FEEDS.md in the project.

const WORDS = {
  unauthorized: "the key is missing or wrong",
  forbidden: "access is denied",
  "rate-limited": "asked too often",
  "server-error": "the source failed",
  "unexpected-status": "an unexpected status",
  unreachable: "the source can not be reached",
  timeout: "no whole answer in time",
  "cut-off": "the answer broke off",
  "too-large": "the answer is too large",
  redirects: "redirects lead nowhere",
  garbage: "the answer is not JSON",
  "source-error": "the source says that it failed",
  "transform-failed": "the filter failed",
  "transform-output": "the filter's value can not be used",
  "transform-deadline": "the filter ran too long",
  "transform-crashed": "the filter crashed",
  "transform-busy": "filters are busy",
};

export function inWords(reason) {
  return WORDS[reason] ?? reason.replaceAll("-", " ");
}
