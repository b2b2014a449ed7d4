// @ts-check
// Questions and answers on the page. A turn is bound to its prompt: its answer is what follows that very question.

/** Spaces do not count: the page may wrap and trim what was sent. @param {string} text */
function squeezed(text) {
  return text.replace(/\s+/g, " ").trim();
}

/** Markdown of an answer's blocks. @param {Finder} finder @param {Element[]} answers */
function answerMarkdown(finder, answers) {
  return answers
    .flatMap((answer) => {
      const parts = finder.all("markdown", answer).filter((part, _i, all) => !all.some((o) => o !== part && o.contains(part)));
      return parts.length ? parts : [answer];
    })
    .map(toMarkdown)
    .filter(Boolean)
    .join("\n\n");
}

/** @param {Finder} finder */
function createTurns(finder) {
  const questions = () => finder.all("question");

  /** @param {Element} element @param {string} prompt */
  const asks = (element, prompt) => squeezed(plainText(element)) === squeezed(prompt)
    || squeezed(element.textContent ?? "") === squeezed(prompt)
    || squeezed(element.textContent ?? "").replaceAll(" ", "") === squeezed(prompt).replaceAll(" ", "");

  return {
    questions,
    asks,

    /** How often the page shows this very prompt. @param {string} prompt */
    count: (prompt) => questions().filter((q) => asks(q, prompt)).length,

    last: () => questions().at(-1) ?? null,

    /** The newest question that is this prompt. @param {string} prompt */
    newest: (prompt) => questions().reverse().find((q) => asks(q, prompt)) ?? null,

    /** What answers this question: everything after it and before the next. @param {Element} question */
    after(question) {
      const next = questions().find((q) => question.compareDocumentPosition(q) & Node.DOCUMENT_POSITION_FOLLOWING);
      return finder.all("answer").filter((answer) =>
        question.compareDocumentPosition(answer) & Node.DOCUMENT_POSITION_FOLLOWING
        && (!next || answer.compareDocumentPosition(next) & Node.DOCUMENT_POSITION_FOLLOWING));
    },
  };
}

/** @typedef {ReturnType<typeof createTurns>} Turns */
