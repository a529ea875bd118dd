// Package ova writes machines as one file: an OVF package in a tar (DSP0243,
// "Distribution"), in the form that strict importers take. The descriptor comes
// first, the manifest second, then the disks.
//
// The descriptor tells the sizes of the disks' files and the manifest their
// digests, which nobody knows before they are written. So both get slots of a
// fixed size and are filled at the end, and a pipe is refused.
package ova

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"math"
	"slices"
	"time"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/tarfile"
)

// Writer is one package in the making. One goroutine uses it.
type Writer struct {
	tar      *tarfile.Writer
	vm       vmdef.VM
	name     string // of the package's files, without an extension
	ovf, mf  *tarfile.Slot
	slotSize int
	disks    []*member
}

// NewWriter starts a package. The disks of vm are written next, one after the
// other; their File is the name of the member. now is the time of the members;
// nil is the epoch.
func NewWriter(sink imagefmt.Sink, name string, vm vmdef.VM, now func() time.Time) (*Writer, error) {
	w := &Writer{tar: tarfile.NewWriter(sink, tarfile.Options{Now: now}), vm: vm, name: name}
	w.vm.Disks = slices.Clone(vm.Disks)
	largest := vm
	largest.Disks = slices.Clone(vm.Disks)
	for i := range largest.Disks {
		largest.Disks[i].FileSize, largest.Disks[i].Populated = math.MaxInt64, math.MaxInt64
	}
	text, err := largest.OVF()
	if err != nil {
		return nil, err
	}
	w.slotSize = len(text)
	if w.ovf, err = w.tar.Reserve(name+".ovf", int64(len(text))); err != nil {
		return nil, err
	}
	if w.mf, err = w.tar.Reserve(name+".mf", int64(len(w.manifest(nil)))); err != nil {
		return nil, err
	}
	return w, nil
}

// Disk starts the file of disk i of the machine, as a stream.
func (w *Writer) Disk(i int) (imagefmt.Sink, error) {
	if i != len(w.disks) || i >= len(w.vm.Disks) {
		return nil, fmt.Errorf("ova: disk %d is not the next of %d", i, len(w.vm.Disks))
	}
	if err := w.endDisk(); err != nil {
		return nil, err
	}
	inner, err := w.tar.NewMember(w.vm.Disks[i].File, -1)
	if err != nil {
		return nil, err
	}
	m := &member{inner: inner, name: w.vm.Disks[i].File, sum: sha256.New()}
	w.disks = append(w.disks, m)
	return m, nil
}

// SetPopulated tells how many bytes of disk i hold data, for the descriptor.
func (w *Writer) SetPopulated(i int, n int64) { w.vm.Disks[i].Populated = n }

func (w *Writer) endDisk() error {
	if n := len(w.disks); n > 0 && !w.disks[n-1].closed {
		w.disks[n-1].closed = true
		return w.disks[n-1].inner.Close()
	}
	return nil
}

// Finish writes the descriptor and the manifest, when all disks are written, and
// syncs.
func (w *Writer) Finish(ctx context.Context) error {
	if err := w.endDisk(); err != nil {
		return err
	}
	if len(w.disks) < len(w.vm.Disks) {
		return fmt.Errorf("ova: %d of %d disks are written", len(w.disks), len(w.vm.Disks))
	}
	for i, d := range w.disks {
		w.vm.Disks[i].FileSize = d.inner.Size()
	}
	text, err := w.vm.OVF()
	if err != nil {
		return err
	}
	// Blanks may follow the root element (XML 1.0, production 27).
	text = append(text, bytes.Repeat([]byte{'\n'}, w.slotSize-len(text))...)
	if err := w.ovf.Fill(text); err != nil {
		return err
	}
	if err := w.mf.Fill(w.manifest(text)); err != nil {
		return err
	}
	return w.tar.Finish(ctx)
}

// manifest has a line for the descriptor and one a disk. Its length does not
// depend on the digests.
func (w *Writer) manifest(descriptor []byte) []byte {
	sum := sha256.Sum256(descriptor)
	list := []vmdef.Digest{{File: w.name + ".ovf", Algorithm: "sha256", Sum: sum[:]}}
	for i, d := range w.vm.Disks {
		digest := vmdef.Digest{File: d.File, Algorithm: "sha256", Sum: make([]byte, sha256.Size)}
		if i < len(w.disks) {
			digest.Sum = w.disks[i].sum.Sum(nil)
		}
		list = append(list, digest)
	}
	return vmdef.Manifest(list)
}

// Abort gives the package up. The sink's owner removes what was written.
func (w *Writer) Abort() error { return w.tar.Abort() }

// member is the file of a disk on its way into the archive.
type member struct {
	inner  *tarfile.MemberSink
	name   string
	sum    hash.Hash
	closed bool
}

var _ imagefmt.Sink = (*member)(nil)

// Name is that of the member alone, as an image that names itself wants it.
func (m *member) Name() string { return m.name }

func (m *member) Seekable() bool            { return false }
func (m *member) Zeroed() bool              { return false }
func (m *member) Sync() error               { return nil }
func (m *member) Truncate(size int64) error { return m.inner.Truncate(size) }

func (m *member) Sibling(name string) (imagefmt.Sink, error) { return m.inner.Sibling(name) }

func (m *member) WriteAt(p []byte, off int64) (int, error) {
	n, err := m.inner.WriteAt(p, off)
	m.sum.Write(p[:n])
	return n, err
}
