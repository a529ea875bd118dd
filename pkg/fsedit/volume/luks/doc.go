// Package luks opens volumes that are encrypted as Linux Unified Key Setup has it.
//
// # What
//
// LUKS1 (LUKS1 On-Disk Format Specification 1.2.3) and LUKS2 (LUKS2 On-Disk Format
// Specification 1.1.3), with the ciphers as dm-crypt applies them. What is written to
// the opened volume is encrypted in its place. No header is ever changed.
//
// # Layout
//
//	LUKS1   0 header | 8 slots' material, 4000 stripes of a key each | data
//	        0 magic, 8 cipher, mode, hash | 104 data offset, key length | 112 digest | 208 slots
//
//	LUKS2   0 binary header, 4 KiB | JSON | the same again | material | data, 16 MiB mostly
//	        0 magic | 8 size | 16 sequence | 24 label | 72 checksum's name | 168 UUID | 256 own offset | 448 checksum
//
//	passphrase ──kdf──► key of the slot ──decrypt──► stripes ──merge──► volume key ──digest──► right or wrong
//
//	sector n of the data, 512 to 4096 bytes:  IV = number of its first 512 bytes, plus iv_tweak
//
// # Support
//
//	PBKDF2 with SHA-1, SHA-2, RIPEMD-160; Argon2i, Argon2id     opened
//	aes-xts and aes-cbc with plain, plain64; aes-cbc-essiv:sha256   read and write
//	keys of 128 to 512 bits, sectors of 512 to 4096 bytes       read and write
//	one damaged header of LUKS2                                 read and write, with a notice
//	other ciphers and hashes, integrity, a re-encryption that   named and refused
//	is not finished, detached headers, hardware encryption
//	tokens (TPM, Clevis, FIDO)                                  passed over: a passphrase is needed
//
// # Limits
//
// What deriving a key costs is bounded by Limits.KeyMemory and Limits.KeyRounds: a
// slot that asks for more is not tried. Argon2 takes as much memory as the header
// says, which is 1 GiB mostly, for as long as it runs. A header of LUKS2 is at most 4 MiB long, and
// its text has at most 2048 objects, 16 deep, 32 of a kind. A volume is at most
// Limits.VirtualSize long.
//
// # Quirks
//
// The initial vector counts units of 512 bytes even where sectors are larger. A
// header without checksum, LUKS1's, cannot be told from a damaged one: the digest of
// the volume key decides. A passphrase is tried on every slot, each at its full cost.
package luks
