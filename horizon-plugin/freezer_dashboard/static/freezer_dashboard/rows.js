/* Horizon asks for rows anew while it asks whether somebody means an action, too. A button of a row that was replaced meanwhile is in
   no form any more, and saying yes did nothing, for ever: it is put back into its form. */
(function () {
  'use strict';

  var asked = null;
  var form = null;

  // Before Horizon's own.
  document.addEventListener('click', function (event) {
    var button = event.target.closest('.actions_column button');
    if (button) {
      asked = button;
      form = button.form;
    } else if (form && !asked.isConnected && event.target.closest('.modal-footer .btn-danger, .modal-footer .btn-primary')) {
      asked.style.display = 'none';
      form.appendChild(asked);
    }
  }, true);
}());
