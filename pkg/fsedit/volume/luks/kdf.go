package luks

import (
	"context"
	"crypto/pbkdf2"

	"golang.org/x/crypto/argon2"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Ways to make a key of a passphrase.
const (
	pbkdf2Kind   = "pbkdf2" // RFC 8018
	argon2iKind  = "argon2i"
	argon2idKind = "argon2id" // RFC 9106
)

// kdf makes a key of a passphrase, at a cost that the header sets.
type kdf struct {
	kind   string
	hash   string // of PBKDF2
	salt   []byte
	rounds int64
	memory int64 // of Argon2, in KiB
	lanes  int64 // of Argon2
}

// check refuses what is not known, and what costs more than limits allow.
func (k kdf) check(limits ondisk.Limits) error {
	switch k.kind {
	case pbkdf2Kind:
		if _, err := hashOf(k.hash); err != nil {
			return err
		}
		return k.checkRounds(k.rounds, limits)
	case argon2iKind, argon2idKind:
		if k.lanes < 1 || k.lanes > 255 || k.memory < 8 || k.rounds > 1<<31 {
			return ondisk.Because(ondisk.ErrCorrupt, "%s with %d KiB, %d rounds and %d lanes", k.kind, k.memory, k.rounds, k.lanes)
		}
		if k.memory > limits.KeyMemory>>10 {
			return ondisk.Because(ondisk.ErrTooBig, "its key derivation (%s) wants %d KiB of memory, more than %d", k.kind, k.memory, limits.KeyMemory>>10)
		}
		rounds, ok := ondisk.MulOK(k.rounds, k.memory)
		if !ok {
			rounds = limits.KeyRounds + 1
		}
		return k.checkRounds(rounds, limits)
	}
	return ondisk.Because(ondisk.ErrUnsupported, "key derivation %q is not known", k.kind)
}

func (k kdf) checkRounds(rounds int64, limits ondisk.Limits) error {
	switch {
	case k.rounds < 1:
		return ondisk.Because(ondisk.ErrCorrupt, "%s with %d rounds", k.kind, k.rounds)
	case rounds > limits.KeyRounds:
		return ondisk.Because(ondisk.ErrTooBig, "its key derivation (%s) wants %d rounds, more than %d", k.kind, rounds, limits.KeyRounds)
	}
	return nil
}

// derive is a key of n bytes. A check has found the cost to be bearable; ctx is
// looked at before, for nothing interrupts a derivation.
func (k kdf) derive(ctx context.Context, passphrase []byte, n int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch k.kind {
	case argon2iKind:
		return argon2.Key(passphrase, k.salt, uint32(k.rounds), uint32(k.memory), uint8(k.lanes), uint32(n)), nil
	case argon2idKind:
		return argon2.IDKey(passphrase, k.salt, uint32(k.rounds), uint32(k.memory), uint8(k.lanes), uint32(n)), nil
	}
	h, err := hashOf(k.hash)
	if err != nil {
		return nil, err
	}
	return pbkdf2.Key(h, string(passphrase), k.salt, int(k.rounds), n)
}
