package volume

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Locked is an encrypted volume, by all that a user may call it.
type Locked struct {
	Kind  string   // "LUKS2"
	ID    string   // of the volume that holds it: "sda2"
	Names []string // other names of that volume
	UUID  string   // of the encryption; empty when it has none
}

// Is reports whether a selector means it: "all", an ID with or without "/dev/",
// another name of the volume, or the UUID with or without "UUID=".
func (l Locked) Is(selector string) bool {
	uuid := strings.TrimPrefix(selector, "UUID=")
	return selector == "all" || l.ID != "" && strings.TrimPrefix(selector, "/dev/") == l.ID ||
		slices.Contains(l.Names, selector) || l.UUID != "" && strings.EqualFold(uuid, l.UUID)
}

func (l Locked) String() string {
	if l.UUID == "" {
		return fmt.Sprintf("%s (%s)", l.ID, l.Kind)
	}
	return fmt.Sprintf("%s (%s %s)", l.ID, l.Kind, l.UUID)
}

// KeyError is an encrypted volume for which the right key was not given. It wraps
// [ondisk.ErrEncrypted].
type KeyError struct {
	Locked
	Tried int // keys that did not fit
}

func (e *KeyError) Error() string {
	switch e.Tried {
	case 0:
		return fmt.Sprintf("%v is encrypted, and no key for it was given", e.Locked)
	case 1:
		return fmt.Sprintf("%v is encrypted, and the key given does not open it", e.Locked)
	}
	return fmt.Sprintf("%v is encrypted, and none of %d keys opens it", e.Locked, e.Tried)
}

func (e *KeyError) Unwrap() error { return ondisk.ErrEncrypted }

// Keyring gives the keys of encrypted volumes, and remembers what they opened: the
// disks of a conversion are opened several times, and each key may cost seconds. It
// is safe for concurrent use; a nil Keyring has no keys.
type Keyring struct {
	ask func(Locked) iter.Seq2[[]byte, error]

	mu     sync.Mutex
	opened map[string][][]byte // volume keys by UUID
}

// NewKeyring has the keys that ask yields: passphrases, or what key files hold, in
// the order in which they are tried. Whoever asks stops when one fits, or at an error.
func NewKeyring(ask func(Locked) iter.Seq2[[]byte, error]) *Keyring {
	return &Keyring{ask: ask, opened: map[string][][]byte{}}
}

// Keys yields the keys to try on a volume.
func (k *Keyring) Keys(l Locked) iter.Seq2[[]byte, error] {
	if k == nil || k.ask == nil {
		return func(func([]byte, error) bool) {}
	}
	return k.ask(l)
}

// Opened are the volume keys that were remembered for a volume.
func (k *Keyring) Opened(l Locked) [][]byte {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.opened[l.UUID])
}

// Remember keeps a volume key. Two copies of a volume may have one UUID and two keys.
func (k *Keyring) Remember(l Locked, key []byte) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.ContainsFunc(k.opened[l.UUID], func(o []byte) bool { return slices.Equal(o, key) }) {
		k.opened[l.UUID] = append(k.opened[l.UUID], key)
	}
}
