package blockdev

import "io"

// OverlayOptions tune an [Overlay]. The zero value keeps all in memory.
type OverlayOptions struct {
	// Memory is how many bytes of changed pages stay in memory before they go
	// to Spill; 0 means 64 MiB. Without Spill the overlay fails beyond it.
	Memory int64
	// Spill opens the file that holds pages beyond Memory. It is called once.
	Spill func() (SpillFile, error)
}

// SpillFile holds pages that no longer fit in memory. Whoever made the overlay
// removes it.
type SpillFile interface {
	io.ReaderAt
	io.WriterAt
}

// TODO(contract): implemented by the blockdev helper:
//
//	func NewOverlay(inner Device, o OverlayOptions) *Overlay      Writable, Extenter, Geometry
//	func (o *Overlay) Discard(off, n int64) error                 reads as zeros from now on; a write wins, before or after
//	func (o *Overlay) Changed(ctx) iter.Seq2[Extent, error]       ascending, merged ranges that were written (not discarded)
//	func (o *Overlay) Dirty() bool
