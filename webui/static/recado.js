// What the pages do in the browser beyond htmx: the live connection, the write
// form's live button, small comforts. Everything works without it, by forms.
(() => {
  'use strict';
  const $ = (sel, root = document) => root.querySelector(sel);
  const words = document.body.dataset;

  // The box may run on UTC: tell it which clock the reader has.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `recado_tz=${zone};path=/;max-age=31536000;samesite=lax`;

  // Live: one event stream a visible tab. A hidden tab lets go of it, because a
  // browser opens only six connections to one host.
  let source = null;
  let template = null;
  let lostTimer = 0;
  const say = (on) => {
    const state = $('#live-state');
    if (state) {
      state.classList.toggle('on', on);
      $('.live-word', state).textContent = on ? state.dataset.live : state.dataset.off;
    }
    const lost = $('#live-lost');
    clearTimeout(lostTimer);
    if (!lost) return;
    if (on) lost.hidden = true;
    else lostTimer = setTimeout(() => { lost.hidden = document.hidden; }, 4000);
  };
  const tell = (name) => htmx.trigger(document.body, `recado:${name}`);
  document.addEventListener('htmx:sseOpen', (e) => {
    source = e.detail.source;
    say(true);
    ['messages', 'inbox', 'lines'].forEach(tell); // what happened since the page was made
  });
  document.addEventListener('htmx:sseError', () => say(false));
  document.addEventListener('htmx:sseBeforeMessage', (e) => {
    e.preventDefault(); // nothing to swap: the message says what to fetch
    if (e.detail.type !== 'tick') tell(e.detail.type);
  });
  document.addEventListener('visibilitychange', () => {
    const live = $('#live');
    if (!live) return;
    if (document.hidden) {
      if (source) source.close();
    } else if (source && source.readyState === EventSource.CLOSED && template) {
      const fresh = template.cloneNode(true);
      live.replaceWith(fresh);
      htmx.process(fresh);
    }
  });

  // The badge of unread messages, in the navigation, the title and the icon.
  const badge = async () => {
    const old = $('#unread');
    if (!old) return;
    const answer = await fetch('/inbox/unread', { headers: { 'HX-Request': 'true' } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('#unread');
    if (!fresh) return;
    old.replaceWith(fresh);
    const n = Number(fresh.dataset.n);
    document.title = document.title.replace(/^\(.*?\) /, '');
    if (n > 0) document.title = `(${n}) ${document.title}`;
    $('link[rel=icon]').href = n > 0 ? fresh.dataset.iconUnread : fresh.dataset.icon;
  };
  document.body.addEventListener('recado:inbox', badge);

  // A live part that is made anew leaves open what was open, and what is being
  // typed alone: it is told again at the next change.
  const folds = new Map();
  const renew = (e) => {
    const part = e.detail.target;
    if (!part || !part.matches('#sim, #modem, #unlock, #facts, #history, #lines, #doctor, #message')) return;
    const field = [...part.querySelectorAll('input:not([type=hidden])')].some((f) => f === document.activeElement || f.value !== f.defaultValue || f.checked !== f.defaultChecked);
    if (field) { e.detail.shouldSwap = false; return; }
    part.querySelectorAll('details[id]').forEach((d) => folds.set(d.id, { node: d, open: d.open }));
  };
  const restore = () => folds.forEach((was, id) => {
    const d = document.getElementById(id);
    if (!d || d === was.node) return;
    d.open = was.open;
    was.node = d;
  });
  document.addEventListener('htmx:beforeSwap', renew);
  document.addEventListener('htmx:oobBeforeSwap', renew);
  document.addEventListener('htmx:afterSwap', restore);
  document.addEventListener('htmx:oobAfterSwap', restore);

  // Signed out meanwhile: to the door, unless there are words to save first.
  document.addEventListener('htmx:responseError', (e) => {
    if (e.detail.xhr.status === 401 && ![...document.querySelectorAll('[data-guard]')].some(dirty)) location.assign('/login');
  });

  // Write: the button tells what it will do, so it waits while the count is old.
  const compose = $('#compose');
  const stale = (on) => {
    const button = $('#send');
    if (!button) return;
    if (on && button.getAttribute('aria-disabled') !== 'true') {
      button.setAttribute('aria-disabled', 'true');
      button.lastChild.textContent = compose.dataset.busy;
    } else if (!on) button.removeAttribute('aria-disabled');
  };
  if (compose) {
    compose.addEventListener('input', () => stale(true));
    compose.addEventListener('submit', (e) => {
      if (e.submitter && e.submitter.dataset.plain !== undefined) {
        e.preventDefault();
        const text = $('#text');
        text.value = e.submitter.dataset.plain;
        text.focus();
        stale(true);
        htmx.trigger(compose, 'recado:quote');
      } else if ($('#send').getAttribute('aria-disabled') === 'true') e.preventDefault();
    });
    document.addEventListener('htmx:afterRequest', (e) => { if (e.detail.elt === compose && !e.detail.successful) stale(false); });
  }

  // Unsaved words are not lost by a slip.
  const dirty = (form) => [...form.querySelectorAll('textarea')].some((f) => f.value !== f.defaultValue);
  const guard = $('[data-guard]');
  if (guard) {
    let sending = false;
    guard.addEventListener('submit', (e) => { if (!e.defaultPrevented) sending = true; });
    addEventListener('beforeunload', (e) => { if (!sending && dirty(guard)) e.preventDefault(); });
  }

  document.addEventListener('keydown', (e) => {
    const field = e.target.closest('textarea');
    if (field && e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      const button = field.form.querySelector('#send') || field.form.querySelector('[type=submit]');
      if (button.getAttribute('aria-disabled') !== 'true') field.form.requestSubmit(button);
    } else if (e.key === '/' && !e.target.closest('input, textarea, select')) {
      const search = $('input[type=search]');
      if (search) { e.preventDefault(); search.focus(); }
    }
  });

  document.addEventListener('click', async (e) => {
    const button = e.target.closest('[data-copy]');
    if (!button) return;
    const code = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // plain HTTP has no clipboard: select it for Ctrl+C
      getSelection().selectAllChildren(code);
      document.execCommand('copy');
    }
    $('span', button).textContent = words.copied;
  });

  // The password's checklist.
  const password = $('[data-checklist]');
  if (password) {
    const form = password.form;
    const rules = {
      length: () => [...password.value].length >= 12,
      guess: () => new Set(password.value.toLowerCase()).size >= 5 && password.value.toLowerCase().replace(/^[0-9!.\- ]+|[0-9!.\- ]+$/g, '') !== form.elements.name.value.toLowerCase(),
      same: () => password.value !== '' && password.value === form.elements.again.value,
    };
    const check = () => form.querySelectorAll('[data-rule]').forEach((item) => {
      const met = rules[item.dataset.rule]();
      item.classList.toggle('met', met);
      const word = $('[data-yes]', item);
      word.textContent = ' ' + (met ? word.dataset.yes : word.dataset.no);
    });
    form.addEventListener('input', check);
    check();
  }

  // A conversation opens at its end.
  if ($('.talk.open') && $('#reply') && !location.search.includes('before=')) $('#reply').scrollIntoView({ block: 'end' });

  document.addEventListener('DOMContentLoaded', () => {
    const live = $('#live');
    if (live) template = live.cloneNode(true);
  });
})();
