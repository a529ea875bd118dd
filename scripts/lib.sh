# shellcheck shell=bash
# Functions shared by the scripts of this folder; sourced, never run.

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Debian keeps sfdisk, mke2fs and debugfs where a plain user's PATH does not look.
export PATH="$PATH:/usr/sbin:/sbin"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# usage: print the header comment of the calling script, from its line 2.
usage() { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0" >&2; exit 2; }

# need PROGRAM...: stop unless every program is here.
need() {
	local program
	for program; do
		command -v "$program" >/dev/null || die "$program is missing: run scripts/setup"
	done
}

# cache SUBFOLDER: the git-ignored folder where built things are kept between runs.
cache() {
	local folder=${VMCONV_CACHE:-$PWD/.cache}/$1
	mkdir -p "$folder"
	(cd "$folder" && pwd)
}

# key TEXT FILE...: a short hash of a text and of files' contents.
key() {
	local text=$1
	shift
	{ printf '%s\n' "$text"; cat -- "$@" </dev/null; } | sha256sum | cut -c1-12
}

# hand_over CACHED OUTDIR NAME: copy CACHED.* to OUTDIR as NAME.*, holes kept; print the image's path.
# Without OUTDIR the path is that in the cache: not to be written.
hand_over() {
	local cached=$1 outdir=$2 name=$3 file
	if [ -z "$outdir" ]; then
		printf '%s.img\n' "$cached"
		return
	fi
	mkdir -p "$outdir"
	for file in "$cached".*; do
		cp --reflink=auto --sparse=always -- "$file" "$outdir/$name.${file##*.}"
	done
	printf '%s/%s.img\n' "$outdir" "$name"
}

# place FILE IMAGE SECTOR: write FILE into IMAGE at a 512-byte sector, its zeroes as holes.
place() {
	dd if="$1" of="$2" bs=64K seek=$(($3 * 512)) oflag=seek_bytes conv=notrunc,sparse status=none
}

# patch IMAGE OFFSET HEX...: overwrite bytes of IMAGE.
patch() {
	local image=$1 offset=$2
	shift 2
	# shellcheck disable=SC2059 # the format is the bytes themselves
	printf "$(printf '\\x%s' "$@")" | dd of="$image" bs=1 seek="$offset" conv=notrunc status=none
}

# le64 NUMBER: its eight bytes in hexadecimal, least first.
le64() {
	local i
	for i in 0 8 16 24 32 40 48 56; do
		printf '%02x ' $((($1 >> i) & 255))
	done
}

# partition IMAGE: write the partition table that stdin describes. sfdisk would have every disk of the host synced for the
# sake of a kernel that need not know.
partition() {
	sfdisk -q --no-tell-kernel "$1"
}

# filesystem IMAGE SECTOR SECTORS TREE MKE2FS-OPTION...: an ext filesystem at a sector of IMAGE that holds TREE.
filesystem() {
	local image=$1 start=$2 sectors=$3 tree=$4
	shift 4
	mke2fs -q -F -d "$tree" -E "offset=$((start * 512))" "$@" "$image" "$((sectors / 2))k"
}

# swap_area IMAGE SECTOR SECTORS: a swap signature.
swap_area() {
	local part
	part=$(mktemp)
	truncate -s "$(($3 * 512))" "$part"
	mkswap -q -U 5ca1ab1e-5eed-4aaa-8bbb-000000000002 "$part"
	place "$part" "$1" "$2"
	rm -f "$part"
}

# grub IMAGE FOLDER PREFIX SECTOR MODULE...: GRUB 2 for BIOS: boot.img in the MBR's code area, core.img at SECTOR, with
# what it needs to read PREFIX. The places patched are those that grub-bios-setup fills in (include/grub/i386/pc/boot.h):
# the sector of core.img at 0x5c of boot.img, and the sector of the rest of core.img 12 bytes before the end of its first
# sector.
grub() {
	local image=$1 folder=$2 prefix=$3 sector=$4 core
	shift 4
	core=$(mktemp)
	grub-mkimage -O i386-pc -d "$folder" -p "$prefix" -o "$core" biosdisk "$@"
	# shellcheck disable=SC2046 # le64 prints one word a byte
	patch "$core" 500 $(le64 $((sector + 1)))
	dd if="$folder/boot.img" of="$image" bs=440 count=1 conv=notrunc status=none
	# shellcheck disable=SC2046
	patch "$image" 92 $(le64 "$sector")
	place "$core" "$image" "$sector"
	rm -f "$core"
}
