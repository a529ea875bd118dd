// Package content shows what lies in runs of a device as a device: a file of a
// filesystem that maps its bytes to blocks.
package content
