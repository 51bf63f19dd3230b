// One listener for the page, ahead of JupyterLab's own keys; it moves the focus, clicks what has it, asks the
// same again on enter, and names pictures and the slider for those who listen to the page.
if (!window.tfcovrKeys) {
  window.tfcovrKeys = true;
  window.addEventListener('keydown', (event) => {
    const inside = event.target.closest && event.target.closest('.tfcovr');
    const root = inside || (event.target === document.body && document.querySelector('.tfcovr'));
    if (!root || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches('input, textarea, select');
    const cards = [...root.querySelectorAll('.tfcovr-card button.tfcovr-main')].filter((button) => button.offsetParent);
    const at = cards.findIndex((button) => event.target.closest('.tfcovr-card') === button.closest('.tfcovr-card'));
    const top = (button) => button.getBoundingClientRect().top;
    const row = () => cards.filter((button) => Math.abs(top(button) - top(cards[Math.max(at, 0)])) < 5).length;
    const to = (step) => cards[Math.min(cards.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
    const steps = { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: row, ArrowUp: () => -row() };
    let used = true;
    const ask = event.target.closest('.tfcovr-ask');
    if (event.key === 'Enter' && ask && event.target.value === ask.dataset.asked) root.querySelector('.tfcovr-search').click();
    else if (event.key === '/' && !typing) root.querySelector('.tfcovr-ask input').focus();
    else if (event.key === 'Escape' && typing) event.target.blur();
    else if (event.key in steps && !typing && cards.length) to(steps[event.key]()).focus();
    else if (event.key === 'Enter' && event.target.tagName === 'BUTTON') event.target.click();
    else used = false;
    if (used) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, true);
  for (const kind of ['focusin', 'change']) window.addEventListener(kind, (event) => {
    const ask = event.target.closest && event.target.closest('.tfcovr-ask');
    if (ask) ask.dataset.asked = event.target.value;
  }, true);
  const name = () => {
    for (const card of document.querySelectorAll('.tfcovr-card')) card.querySelector('img').alt = card.innerText;
    for (const handle of document.querySelectorAll('.tfcovr .noUi-handle')) handle.setAttribute('aria-label', 'K');
  };
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
}
