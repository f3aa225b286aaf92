# docker build -t posteriori . && docker run --rm -v "$PWD:/pictures" posteriori restore photo.jpg
FROM python:3.11-slim
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt torch --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir -c constraints.txt .
RUN useradd --create-home user
USER user
WORKDIR /pictures
ENTRYPOINT ["posteriori"]
CMD ["--help"]
