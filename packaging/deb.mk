# The Debian package.

.PHONY: deb

deb: ## Build the Debian package into dist/ and check it with lintian
	packaging/build-deb
