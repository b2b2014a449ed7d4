// @ts-check
// Finding the page's parts by the dated list of selectors: the first that fits wins. Functions only, so that the
// scripts can be injected again into the same page after an update.

/** @typedef {{date: string, parts: Record<string, string[]>, atLoad: string[], optional: string[]}} SelectorList */

/**
 * Looks parts up in a page.
 * @param {SelectorList} list
 * @param {Document} page
 */
function createFinder(list, page) {
  /** @param {string} part @returns {string[]} */
  const of = (part) => list.parts[part] ?? [];

  /** @param {string} selector @param {ParentNode} within @returns {Element[]} */
  const query = (selector, within) => {
    try {
      return [...within.querySelectorAll(selector)];
    } catch {
      return []; // a selector typed into the options may be wrong; the self-test says so
    }
  };

  return {
    date: list.date,
    list,

    /** All elements of the first selector that finds any. @param {string} part @param {ParentNode} [within] */
    all(part, within = page) {
      for (const selector of of(part)) {
        const found = query(selector, within);
        if (found.length) return found;
      }
      return [];
    },

    /** @param {string} part @param {ParentNode} [within] @returns {HTMLElement | null} */
    one(part, within = page) {
      return /** @type {HTMLElement | null} */ (this.all(part, within)[0] ?? null);
    },

    /** @param {string} part @param {ParentNode} [within] */
    has(part, within = page) {
      return this.one(part, within) !== null;
    },

    /**
     * What is there and by which selector (0: the first); null: not there.
     * @returns {Record<string, number | null>}
     */
    selfTest() {
      /** @type {Record<string, number | null>} */
      const result = {};
      for (const part of Object.keys(list.parts)) {
        const index = of(part).findIndex((selector) => query(selector, page).length > 0);
        result[part] = index < 0 ? null : index;
      }
      return result;
    },
  };
}

/** @typedef {ReturnType<typeof createFinder>} Finder */

/**
 * The report for the hub: what must be there now and is not.
 * @param {SelectorList} list
 * @param {Record<string, number | null>} found
 * @param {string} problem
 */
function healthOf(list, found, problem) {
  const names = Object.keys(found);
  return {
    selectors: list.date,
    found: names.filter((name) => found[name] !== null),
    missing: names.filter((name) => found[name] === null && list.atLoad.includes(name) && !list.optional.includes(name)),
    fallback: names.filter((name) => (found[name] ?? 0) > 0),
    problem,
  };
}
