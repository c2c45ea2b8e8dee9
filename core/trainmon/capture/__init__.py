"""What runs in the training process: capturing and obeying. No asyncio, no gRPC, no Pillow."""
