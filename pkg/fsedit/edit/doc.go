// Package edit turns what a guest is into the changes that make it start on
// another hypervisor. Each [Edit] is one concern in its own file; they run in a
// fixed order, each on a tree that already holds the changes before it. The
// result is data: one [Change] a path, with all its reasons. Dry run, report and
// revert come from that, and tests need no disk.
//
// Configuration is edited by token in its own bytes: comments, order, line ends
// and unknown lines survive. Nothing is regenerated, nothing guessed.
package edit
