# shellcheck shell=bash
# The trees of files of the Debian guests, as tars that are built once; sourced by guest-debian.
# shellcheck disable=SC2154 # lib.sh and guest-debian set the rest

packages=systemd-sysv,udev,dbus,kmod,procps,ifupdown,isc-dhcp-client,iproute2,netbase,e2fsprogs,initramfs-tools,zstd
packages=$packages,grub-pc,linux-image-amd64
other_kernel=linux-image-cloud-amd64
# Not xfsprogs: it brings Python, and what checks an XFS when it is mounted is the kernel.
server_packages='lvm2 cryptsetup-initramfs grub-efi-amd64-bin'

# settle TREE: what every guest has, whatever its disk. Run by mmdebstrap with the packages unpacked and configured.
settle() {
	local tree=$1
	printf 'guest\n' >"$tree/etc/hostname"
	printf '127.0.0.1 localhost guest\n' >"$tree/etc/hosts"
	printf 'auto lo\niface lo inet loopback\n\nallow-hotplug eth0\niface eth0 inet dhcp\n' >"$tree/etc/network/interfaces"
	printf 'root:guest\n' | chroot "$tree" chpasswd

	install -m 755 "$scripts/guest/guest-report" "$tree/usr/local/sbin/"
	install -m 644 "$scripts/guest/guest-report.service" "$tree/etc/systemd/system/"
	chroot "$tree" systemctl --quiet enable guest-report.service serial-getty@hvc0.service

	sed -i 's/^MODULES=.*/MODULES=list/' "$tree/etc/initramfs-tools/initramfs.conf"
	printf '%s\n' xen-blkfront xen-netfront ext4 >>"$tree/etc/initramfs-tools/modules"
	chroot "$tree" update-initramfs -c -k all

	mkdir -p "$tree/boot/grub/i386-pc"
	cp "$tree"/usr/lib/grub/i386-pc/*.{mod,lst} "$tree/boot/grub/i386-pc/"
	chroot "$tree" grub-editenv /boot/grub/grubenv create
	sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' -e 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="console=hvc0"/' \
		-e 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT=""/' -e 's/^#*\(GRUB_TERMINAL=console\)/\1/' \
		-e 's/^#*GRUB_DISABLE_LINUX_UUID=.*/GRUB_DISABLE_LINUX_UUID=true/' "$tree/etc/default/grub"
}

# download FOLDER: the packages that some trees get later, while mmdebstrap's apt knows where they are.
download() {
	local group
	for group in "server $server_packages" 'dracut dracut'; do
		mkdir -p "$1/${group%% *}/partial"
		# shellcheck disable=SC2086 # one word a package
		APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -y install --no-install-recommends --download-only \
			-o Dir::Cache::Archives="$1/${group%% *}" ${group#* }
	done
}

# tree_file NAME: where the tar of a tree is or will be; its name holds a key of everything that it is made of.
tree_file() {
	printf '%s/debian-%s-%s.tar\n' "$(cache guests)" "$1" "$(key "$1" "$scripts"/guest/{trees.sh,guest-report{,.service}})"
}

# two_kernels: the tar of a settled guest with both kernels, built once. Beside it lies the folder of what download got.
two_kernels() {
	local tar new
	tar=$(tree_file two)
	if [ ! -e "$tar" ]; then
		say "building the Debian tree: ${packages//,/ } $other_kernel"
		new=${tar%.tar}.new
		rm -rf "$new.debs" "${tar%.tar}.debs"
		INITRD=No mmdebstrap --quiet --mode=root --variant=minbase --include="$packages,$other_kernel" \
			--dpkgopt=force-unsafe-io --aptopt='APT::Install-Recommends "false"' \
			--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
			--dpkgopt='path-exclude=/usr/share/locale/*/*' \
			--essential-hook="echo grub-pc grub-pc/install_devices_empty boolean true | chroot \"\$1\" debconf-set-selections" \
			--customize-hook="$(printf '%q' "$scripts/guest-debian") --settle \"\$1\"" \
			--customize-hook="$(printf '%q --download %q' "$scripts/guest-debian" "$new.debs")" \
			bookworm "$new.tar" >&2
		mv "$new.debs" "${tar%.tar}.debs"
		mv "$new.tar" "$tar"
	fi
	echo "$tar"
}

# derived NAME TAR COMMAND [ARGUMENT...]: the tar of another tree on which COMMAND was run, which is quicker than to
# build one more.
derived() {
	local tar tree from=$2
	tar=$(tree_file "$1")
	shift 2
	if [ ! -e "$tar" ]; then
		tree=$(mktemp -d "${tar%.tar}.tree.XXXX")
		unpack "$from" "$tree"
		"$@" "$tree" >&2
		tar -C "$tree" --xattrs --xattrs-include='*' -cf "${tar%.tar}.new.tar" .
		rm -rf "$tree"
		mv "${tar%.tar}.new.tar" "$tar"
	fi
	echo "$tar"
}

# unpack TAR TREE
unpack() {
	chmod 755 "$2"
	tar -C "$2" --xattrs --xattrs-include='*' -xf "$1"
}

# within TREE COMMAND [ARGUMENT...]: run it there, with /proc, which ends with it.
within() {
	DEBIAN_FRONTEND=noninteractive unshare --mount sh -c 'mount -t proc proc "$1/proc" && exec chroot "$@"' within "$@"
}

# add GROUP TREE: install what download got under this name.
add() {
	cp "$(two_kernels | sed 's/tar$/debs/')/$1"/*.deb "$2/var/cache/apt/archives/"
	within "$2" sh -c 'dpkg --install --force-unsafe-io /var/cache/apt/archives/*.deb && rm /var/cache/apt/archives/*.deb'
}

# one_kernel: without the other kernel.
one_kernel() { derived one "$(two_kernels)" drop_other; }

drop_other() {
	# shellcheck disable=SC2046 # one word a package
	within "$1" dpkg --purge --force-unsafe-io "$other_kernel" \
		$(chroot "$1" dpkg-query -W -f '${Package}\n' 'linux-image-[0-9]*-cloud-amd64')
}

# server: one_kernel with LVM, cryptsetup and GRUB for UEFI too. Its initramfs knows LVM, XFS and ext4. LVM takes disks
# of the machine's own names only.
server() { derived "server-$dress" "$(one_kernel)" make_server; }

make_server() {
	local settings=$1/etc/initramfs-tools
	sed -i 's/^update_initramfs=.*/update_initramfs=no/' "$settings/update-initramfs.conf"
	add server "$1"
	sed -i 's/^update_initramfs=.*/update_initramfs=yes/' "$settings/update-initramfs.conf"
	sed -i '/^xen-/d' "$settings/modules"
	printf '%s\n' $drivers xfs dm-mod >>"$settings/modules"
	sed -i "s/console=hvc0/console=$console/" "$1/etc/default/grub"
	# As many an owner has it, so that LVM does not look for itself in the disks of nested guests.
	sed -i "s,^devices {,&\n\tfilter = [ \"a|^$xvd|\"\, \"r|.*|\" ]," "$1/etc/lvm/lvm.conf"
	within "$1" update-initramfs -u -k all
}

# dracut: server with dracut in the place of initramfs-tools. What dracut makes on one machine for that machine has its
# drivers only (hostonly); the list says the same where there is no machine to look at.
dracut() { derived "dracut-$dress" "$(server)" make_dracut; }

make_dracut() {
	within "$1" dpkg --purge --force-depends --force-unsafe-io cryptsetup-initramfs initramfs-tools initramfs-tools-core
	mkdir -p "$1/etc/dracut.conf.d"
	printf '%s\n' 'hostonly="no"' "drivers=\"$drivers xfs ext4 dm-mod\"" >"$1/etc/dracut.conf.d/10-guest.conf"
	[ "$dress" = kvm ] || printf 'omit_drivers+=" virtio.* "\n' >>"$1/etc/dracut.conf.d/10-guest.conf"
	add dracut "$1" # which runs dracut
}
