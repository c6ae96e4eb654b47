/* Keeps the page of a run up to date: asks for its part of the page until the run has ended. */
(function () {
  'use strict';

  var place = document.getElementById('freezer-run');
  var live = document.getElementById('freezer-run-live');
  var INTERVAL = 1500;

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
        // Nor what somebody has opened.
        if (state.is_ended ||
            !(place.contains(document.activeElement) || place.querySelector('details[open]'))) {
          place.innerHTML = state.html;
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
    window.setTimeout(ask, INTERVAL);
  }
}());
