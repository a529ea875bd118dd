// Package fsedittest judges guest filesystems in tests: a tree as the kernel
// mounts it, or as our readers see it, becomes plain data that can be compared;
// [Populate] fills a folder of the host with everything that a tree may hold.
// Only tests import it.
package fsedittest
