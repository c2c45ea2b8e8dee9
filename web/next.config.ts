import type { NextConfig } from "next";

// A static export: the gateway serves the files, and a session is `/?session=ID`.
const config: NextConfig = {
  output: "export",
  images: { unoptimized: true },
  poweredByHeader: false,
  reactStrictMode: true,
  devIndicators: false,
};

export default config;
