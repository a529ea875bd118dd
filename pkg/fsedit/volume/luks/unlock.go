package luks

import (
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// opening is one attempt to find the volume key of a container.
type opening struct {
	*container
	dev    blockdev.Device
	limits ondisk.Limits
	locked volume.Locked
}

// key finds the volume key: one that was found before, or with the keys of a ring,
// each on every slot. A [volume.KeyError] is that none fits.
func (o *opening) key(ctx context.Context, ring *volume.Keyring) ([]byte, error) {
	for _, key := range ring.Opened(o.locked) {
		for _, s := range o.slots {
			if s.bad == nil && len(key) == s.keyLen && o.right(ctx, s, key) {
				return key, nil
			}
		}
	}
	if err := o.usable(); err != nil {
		return nil, err
	}
	tried := 0
	for passphrase, err := range ring.Keys(o.locked) {
		if err != nil {
			return nil, err
		}
		tried++
		key, err := o.try(ctx, passphrase)
		if err != nil {
			return nil, err
		}
		if key != nil {
			ring.Remember(o.locked, key)
			return key, nil
		}
	}
	return nil, &volume.KeyError{Locked: o.locked, Tried: tried}
}

// usable marks the slots that cannot be tried, and fails when that is all of them.
func (o *opening) usable() error {
	var why []string
	var first error
	for i := range o.slots {
		s := &o.slots[i]
		if s.bad == nil {
			s.bad = s.bearable(o.limits)
		}
		if s.bad == nil {
			continue
		}
		if why = append(why, fmt.Sprintf("%s: %v", s.name, s.bad)); first == nil {
			first = s.bad
		}
	}
	switch {
	case len(o.slots) == 0:
		return ondisk.At(o.name(), "header", 0).Corrupt("it has no keyslot: no key opens it any more")
	case len(why) == len(o.slots):
		return fmt.Errorf("%v: no keyslot can be used: %w", o.locked, &unusable{strings.Join(why, "; "), first})
	}
	return nil
}

// tellUntried tells of slots that a key was not tried on, where that is not the error
// itself.
func (o *opening) tellUntried(notice func(string)) {
	usable := slices.ContainsFunc(o.slots, func(s slot) bool { return s.bad == nil })
	for _, s := range o.slots {
		if usable && s.bad != nil {
			notice(fmt.Sprintf("%s: %s was not tried: %v", o.locked.ID, s.name, s.bad))
		}
	}
}

// unusable tells of all slots, and is of the kind of the first one's trouble.
type unusable struct {
	text  string
	first error
}

func (u *unusable) Error() string { return u.text }
func (u *unusable) Unwrap() error { return u.first }

// bearable refuses what is not known and what costs too much.
func (s *slot) bearable(limits ondisk.Limits) error {
	if _, err := hashOf(s.hash); err != nil {
		return err
	}
	if err := s.kdf.check(limits); err != nil {
		return err
	}
	if err := s.digest.kdf.check(limits); err != nil {
		return err
	}
	_, err := newSectors(s.cipher, make([]byte, s.areaKey), sector)
	return err
}

// try is the volume key that a passphrase gives, or nil.
func (o *opening) try(ctx context.Context, passphrase []byte) ([]byte, error) {
	for _, s := range o.slots {
		if s.bad != nil {
			continue
		}
		key, err := s.unwrap(ctx, o.dev, passphrase)
		if err != nil {
			return nil, err
		}
		if o.right(ctx, s, key) {
			return key, nil
		}
	}
	return nil, ctx.Err()
}

// unwrap is what the slot holds under a passphrase, right or wrong.
func (s *slot) unwrap(ctx context.Context, dev blockdev.Device, passphrase []byte) ([]byte, error) {
	material, err := ondisk.Bytes(dev, s.off, s.areaLen())
	if err != nil {
		return nil, err
	}
	wrapping, err := s.kdf.derive(ctx, passphrase, s.areaKey)
	if err != nil {
		return nil, err
	}
	area, err := newSectors(s.cipher, wrapping, sector)
	if err != nil {
		return nil, err
	}
	area.decrypt(material, 0)
	h, err := hashOf(s.hash)
	if err != nil {
		return nil, err
	}
	return merge(material, s.keyLen, s.stripes, h()), nil
}

// right reports whether a key is the volume key, by the digest that is kept of it.
func (o *opening) right(ctx context.Context, s slot, key []byte) bool {
	if s.digest.kdf.check(o.limits) != nil {
		return false
	}
	got, err := s.digest.kdf.derive(ctx, key, len(s.digest.want))
	return err == nil && subtle.ConstantTimeCompare(got, s.digest.want) == 1
}
