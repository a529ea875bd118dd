// Package stage holds what a transaction on a filesystem has changed so far: a
// device with blocks in memory over it. The filesystem's own reader, put on the
// stage, shows the state with the changes; each operation is whole or nothing,
// since all that it changed can be taken back until the next one begins.
package stage
