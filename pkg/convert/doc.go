// Package convert is the orchestration of a conversion: open, plan, apply,
// verify, copy, describe. It knows no byte layout; formats, filesystems and edits
// are below it.
//
// The order is the promise: everything that can fail is tried in memory, on
// overlays over the source, before the first byte of output is written; and the
// outputs get their names only when all of them are complete.
package convert
