#!/bin/sh
# Makes the seeds of the fuzz targets. Needs root, mke2fs and loop devices.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
mkdir "$work/m"

fill() {
	mkdir "$work/m/dir" "$work/m/large"
	echo hello >"$work/m/dir/file"
	ln "$work/m/dir/file" "$work/m/dir/hard"
	ln -s short "$work/m/dir/fast"
	ln -s "$(printf '%0100d' 1)" "$work/m/dir/slow"
	mknod "$work/m/dir/null" c 1 3
	for i in $(seq 40); do : >"$work/m/large/a-rather-long-name-of-a-file-$i"; done
	for i in 0 2 4 6 8 10 12 14; do
		dd if=/dev/urandom of="$work/m/holes" bs=1024 count=1 seek=$((i * 3)) conv=notrunc 2>/dev/null
	done
	setfattr -n user.a -v value "$work/m/dir/file" || :
	setfattr -n user.b -v "$(printf '%0200d' 1)" "$work/m/dir/file" || :
	setfattr -n security.selinux -v label "$work/m/dir" || :
	sync "$work/m/dir/file"
}

seed() { # name, blocks of 1 KiB, live, options of mke2fs
	name=$1 blocks=$2 live=$3
	shift 3
	rm -f "$work/i"
	mke2fs -q -F -b 1024 -N 64 "$@" "$work/i" "$blocks"
	mount -o loop "$work/i" "$work/m"
	fill
	[ "$live" = clean ] || cp "$work/i" "$work/live"
	umount "$work/m"
	[ "$live" = clean ] || mv "$work/live" "$work/i"
	gzip -9nc "$work/i" >"$name.img.gz"
}

seed ext2 512 clean -t ext2
seed ext4-nocsum 512 clean -t ext4 -O '^has_journal,^metadata_csum,inline_data,^resize_inode'
seed ext4 512 clean -t ext4 -O '^has_journal,^resize_inode'
seed ext4-uninit 512 clean -t ext4 -O '^has_journal,^metadata_csum,uninit_bg,meta_bg,^resize_inode' -g 256
seed dirty 4096 dirty -t ext3 -J size=1
seed dirty-v3 4096 dirty -t ext4 -J size=1 -O ^resize_inode
rm -rf "$work"
