/* Keeps the page of a run up to date: asks for its part of the page until the run has ended. */
(function () {
  'use strict';

  var place = document.getElementById('freezer-run');
  var live = document.getElementById('freezer-run-live');
  var INTERVAL = 1500;
  var NAMED = 'details[data-name]';

  function each(selector, act) {
    Array.prototype.forEach.call(place.querySelectorAll(selector), act);
  }

  // Which of the named details has the focus, on its summary or on its log; '' if something else has it.
  function focused() {
    var held = document.activeElement;
    var details = place.contains(held) && held.closest(NAMED);
    return details && held.parentNode === details ?
      details.dataset.name + ' ' + held.tagName.toLowerCase() : '';
  }

  // What is shown anew is scrolled and focused as it was, and open or not as somebody has wished.
  function show(html) {
    var focus = focused();
    var opened = {};
    var scrolled = {};
    each(NAMED, function (details) {
      var log = details.querySelector('pre');
      if (details.open !== ('opened' in details.dataset)) {
        opened[details.dataset.name] = details.open;
      }
      // Who has not scrolled back reads the last line, whatever is added.
      if (log && log.scrollTop + log.clientHeight < log.scrollHeight - 4) {
        scrolled[details.dataset.name] = log.scrollTop;
      }
    });
    place.innerHTML = html;
    each(NAMED, function (details) {
      var name = details.dataset.name;
      if (name in opened) {
        details.open = opened[name];
      }
      each('details[data-name="' + name + '"] > *', function (part) {
        if (part.tagName === 'PRE') {
          part.scrollTop = name in scrolled ? scrolled[name] : part.scrollHeight;
        }
        if (focus === name + ' ' + part.tagName.toLowerCase()) {
          part.focus();
        }
      });
    });
  }

  function ask() {
    window.fetch(place.dataset.url, {credentials: 'same-origin', redirect: 'error'})
      .then(function (answer) {
        if (!answer.ok) {
          throw new Error(answer.status);
        }
        return answer.json();
      })
      .then(function (state) {
        // What somebody has the focus on is not taken away, except by the end.
        if (state.is_ended || focused() || !place.contains(document.activeElement)) {
          show(state.html);
        }
        if (live.textContent !== state.live) {
          live.textContent = state.live;
        }
        if (!state.is_ended) {
          window.setTimeout(ask, INTERVAL);
        }
      })
      .catch(function () {
        // The login may have ended, or the service is away: asking less often hurts nobody.
        window.setTimeout(ask, 10 * INTERVAL);
      });
  }

  if (place && place.dataset.ended === 'false' && window.fetch) {
    each('.freezer-run-log', function (log) { log.scrollTop = log.scrollHeight; });
    window.setTimeout(ask, INTERVAL);
  }
}());
