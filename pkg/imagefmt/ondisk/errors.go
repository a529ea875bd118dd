package ondisk

import (
	"errors"
	"fmt"
	"strings"
)

// The sentinels that every layer wraps and that only the command maps to an
// exit code. Compare with [errors.Is].
var (
	// ErrFormat: these bytes are not of this format; probing may go on.
	ErrFormat = errors.New("not this format")
	// ErrCorrupt: the structure contradicts itself or its surroundings.
	ErrCorrupt = errors.New("corrupt")
	// ErrUnsupported: valid, but a feature that is not implemented or is refused.
	ErrUnsupported = errors.New("unsupported")
	// ErrEncrypted: a key is needed or the key given is wrong.
	ErrEncrypted = errors.New("encrypted")
	// ErrTooBig: a safety limit was met.
	ErrTooBig = errors.New("over a safety limit")
	// ErrNoSpace: a disk or a filesystem is full.
	ErrNoSpace = errors.New("no space")
	// ErrBlocked: a policy forbids it unless the user gives leave.
	ErrBlocked = errors.New("not permitted")
	// ErrAmbiguous: several answers fit; the user has to choose.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrInUse: somebody else has the object open; a retry may succeed.
	ErrInUse = errors.New("in use")
	// ErrReadOnly: the object cannot be changed.
	ErrReadOnly = errors.New("read-only")
)

// NoOffset is the value of [Error.Off] when no single place is to blame.
const NoOffset int64 = -1

// Error says which layer met which trouble in which structure and where. It
// prints as "qcow2: L2 table at 0x50000: entry 17: offset beyond end of file".
type Error struct {
	Layer  string // package name as the user says it: "qcow2", "ext4", "gpt"
	Struct string // structure of the specification: "L2 table"
	Field  string // field or index within it; may be empty
	Off    int64  // byte offset of the structure in the layer's device, or NoOffset
	Err    error  // cause; wraps one of the sentinels
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Layer)
	if e.Struct != "" {
		fmt.Fprintf(&b, ": %s", e.Struct)
		if e.Off != NoOffset {
			fmt.Fprintf(&b, " at %#x", e.Off)
		}
	}
	if e.Field != "" {
		fmt.Fprintf(&b, ": %s", e.Field)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// At starts an error about one structure. Finish it with one of its methods:
//
//	return ondisk.At("qcow2", "L2 table", off).Corrupt("entry %d: offset %#x beyond end of file", i, x)
func At(layer, strct string, off int64) Place {
	return Place{layer: layer, strct: strct, off: off}
}

// Place is where an error was met. The zero value is useless; use [At].
type Place struct {
	layer, strct, field string
	off                 int64
}

// In names the field or the index within the structure.
func (p Place) In(format string, args ...any) Place {
	p.field = fmt.Sprintf(format, args...)
	return p
}

// Wrap carries err, which should wrap a sentinel or be an I/O error.
func (p Place) Wrap(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Layer: p.layer, Struct: p.strct, Field: p.field, Off: p.off, Err: err}
}

func (p Place) Corrupt(format string, args ...any) error { return p.because(ErrCorrupt, format, args) }
func (p Place) Unsupported(format string, args ...any) error {
	return p.because(ErrUnsupported, format, args)
}
func (p Place) TooBig(format string, args ...any) error  { return p.because(ErrTooBig, format, args) }
func (p Place) NoSpace(format string, args ...any) error { return p.because(ErrNoSpace, format, args) }
func (p Place) Format(format string, args ...any) error  { return p.because(ErrFormat, format, args) }
func (p Place) Blocked(format string, args ...any) error { return p.because(ErrBlocked, format, args) }
func (p Place) Encrypted(format string, args ...any) error {
	return p.because(ErrEncrypted, format, args)
}

func (p Place) because(sentinel error, format string, args []any) error {
	return p.Wrap(&reason{text: fmt.Sprintf(format, args...), sentinel: sentinel})
}

// reason prints its own words only: "corrupt" after a full sentence says nothing.
type reason struct {
	text     string
	sentinel error
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.sentinel }

// Because is an error of the given sentinel that prints only the given words.
func Because(sentinel error, format string, args ...any) error {
	return &reason{text: fmt.Sprintf(format, args...), sentinel: sentinel}
}
