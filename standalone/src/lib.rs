//! freezer-standalone: the whole service in one process, and the demo.
